//! Which settings can be used together.

use super::{Combine, Config, FeatureSelection, LogQ, Table};
use crate::{Error, Result};

impl Config {
    /// Checks every field, alone and with the others.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that cannot be used.
    pub fn validate(&self) -> Result<()> {
        self.check()?;
        let bad = |field: &str, reason: &str| Err(Error::config(field, reason));
        let m = &self.model;
        if m.popularity.is_some_and(|strength| strength > 0.0) && self.loss.logq == LogQ::Corrected {
            return bad(
                "model.popularity",
                "cannot be combined with loss.logq = \"corrected\"; set it to 0, or logq to \"exact\"",
            );
        }
        if self.loss.top_k.is_some_and(|k| k > 0) && self.train.epochs == Some(1) {
            return bad(
                "loss.top_k",
                "takes its thresholds between epochs: set train.epochs to 2 or more, or top_k to 0",
            );
        }
        if m.item.history.is_some_and(|length| length > 0) {
            return bad("model.item.history", "only the user tower has a history");
        }
        if m.user.history.is_some_and(|length| length > 0) && m.item.id == Some(false) {
            return bad("model.user.history", "requires the item id embeddings: set model.item.id to true");
        }
        for (name, tower) in [("user", &m.user), ("item", &m.item)] {
            let nothing = match &tower.features {
                FeatureSelection::All => false,
                FeatureSelection::None => true,
                FeatureSelection::Named(names) => names.is_empty(),
            };
            if tower.id == Some(false) && tower.history.unwrap_or(0) == 0 && nothing {
                return bad(&format!("model.{name}"), "the tower has no inputs: set id, features or history");
            }
            if tower.feature_dim.is_some() && tower.combine == Combine::Sum {
                return bad(&format!("model.{name}.feature_dim"), "requires combine = \"concat\"");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_used_and_come_back_from_toml() {
        let config = Config::default();
        config.validate().unwrap();
        assert_eq!(Config::from_toml("").unwrap(), config);
        assert_eq!(Config::from_toml(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, field) in [
            ("[model]\ndim = 6", "model.dim"),
            ("[model]\ndim = 2048", "model.dim"),
            ("[model]\ntemperature = 0", "model.temperature"),
            ("[model]\ntemperature = nan", "model.temperature"),
            ("[model]\ninit_std = -1", "model.init_std"),
            ("[model]\npopularity = 1.5", "model.popularity"),
            ("[model]\npopularity = nan", "model.popularity"),
            ("[model]\npopularity = 0.5\n[loss]\nlogq = \"corrected\"", "model.popularity"),
            ("[model.item]\nhistory = 3", "model.item.history"),
            ("[model.user]\nhistory = 5000", "model.user.history"),
            ("[model.user]\nid = false\nfeatures = \"none\"", "model.user"),
            ("[model.user]\nfeature_dim = 8", "model.user.feature_dim"),
            ("[model.item]\nmlp = [10]", "model.item.mlp"),
            ("[model]\nuser = { history = 2 }\nitem = { id = false }", "model.user.history"),
            ("[loss]\nnegatives = \"in-batch+uniform:0\"", "loss.negatives"),
            ("[loss]\nlogq = \"sometimes\"", "logq"),
            ("[loss]\ntop_k = 1025", "loss.top_k"),
            ("[loss]\ntop_k_width = 0", "loss.top_k_width"),
            ("[loss]\ntop_k = 20\n[train]\nepochs = 1", "loss.top_k"),
            ("[optimizer]\nlr = 0", "optimizer.lr"),
            ("[optimizer]\nlr = inf", "optimizer.lr"),
            ("[optimizer]\nbeta2 = 1", "optimizer.beta2"),
            ("[optimizer]\nweight_decay = -0.1", "optimizer.weight_decay"),
            ("[optimizer]\nclip_norm = 0", "optimizer.clip_norm"),
            ("[train]\nepochs = 0", "train.epochs"),
            ("[train]\nbatch_size = 0", "train.batch_size"),
            ("[train]\nthreads = 5000", "train.threads"),
            ("[train]\ndevice = \"tpu\"", "device"),
            ("[train]\nearly_stop = \"loss,3\"", "train.early_stop"),
            ("[train]\nearly_stop = \"both.ndcg@20,3\"", "train.early_stop"),
            ("[train]\nbatchsize = 3", "batchsize"),
        ] {
            let error = Config::from_toml(text).unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{error:?}");
            assert!(error.to_string().contains(field), "{text}: {error}");
        }
    }
}
