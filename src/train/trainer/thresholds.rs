//! The thresholds of SoftmaxLoss@K: every user's K-th best score, taken between epochs.

use super::{EVALUATION_MEMORY, Run};
use crate::backend::Backend;
use crate::index::users::BlockOptions;
use crate::index::{Exclude, Lists, Seen, UserBlock, Users};
use crate::train::TrainEvent;
use crate::{Result, memory};

impl<B: Backend> Run<'_, B> {
    /// Takes them where that is due before the epoch that the cursor stands at. A run that goes on inside an epoch has
    /// those of its checkpoint.
    pub(super) fn take_thresholds(&mut self) -> Result<()> {
        let at = self.state.cursor;
        let Some(k) = self.stepper.top_k.as_ref().filter(|top_k| at.batch == 0 && top_k.is_due(at.epoch)).map(|t| t.k)
        else {
            return Ok(());
        };
        let thresholds = self.ranked(|dataset, ranker, observer| {
            let vocabulary = dataset.vocabulary(&dataset.manifest().users)?;
            let seen = Seen::of_dataset(dataset)?;
            // Rows 1 and up; row 0, the unknown user, has no list.
            let users = Users::of(&vocabulary, (1..vocabulary.rows() as u32).collect());
            let (history, memory) = (ranker.history_len(), EVALUATION_MEMORY);
            let options = BlockOptions { seen: Some(&seen), exclude: Exclude::None, history, memory, k };
            let mut thresholds = memory::with_capacity(vocabulary.rows(), "the thresholds of the users")?;
            thresholds.push(f32::NEG_INFINITY);
            let (mut block, mut skip, mut next) = (UserBlock::default(), Lists::default(), 0);
            while next < users.len() {
                next = users.block(next, &options, &mut block, &mut skip)?;
                let found = ranker.top_k(&block, k, None)?;
                thresholds.extend(found.scores.chunks_exact(k).map(|scores| scores[k - 1]));
                observer(TrainEvent::Evaluating { done: next as u64, users: users.len() as u64 });
            }
            Ok(thresholds)
        })?;
        if let Some(top_k) = &mut self.stepper.top_k {
            top_k.thresholds = thresholds;
        }
        Ok(())
    }
}
