//! What is known of the rows of a strip while blocks of columns go by.

/// What is known of the rows of a strip.
pub(crate) struct RowState {
    /// The largest score so far: scores are taken relative to it.
    pub(super) shift: Vec<f32>,
    /// The shift at the time of each block, block by block, where scores are kept.
    pub(super) shifts: Vec<f32>,
    /// The sum of `e^(score - shift)` so far.
    pub(super) sum: Vec<f64>,
    /// The positive's score.
    pub(super) positive: Vec<f32>,
    /// p = `e^(score - shift) * factor`, less `target_weight` for the positive.
    pub(super) factor: Vec<f32>,
    pub(super) target_weight: Vec<f32>,
    pub(super) masks: Masks,
}

/// How far the masks of each row have been applied, and how many columns they excluded.
pub(crate) struct Masks {
    pub(super) same: Vec<usize>,
    pub(super) masked: Vec<usize>,
    pub(super) excluded: Vec<usize>,
}

impl AsMut<Masks> for Masks {
    fn as_mut(&mut self) -> &mut Masks {
        self
    }
}

impl AsMut<Masks> for RowState {
    fn as_mut(&mut self) -> &mut Masks {
        &mut self.masks
    }
}

impl RowState {
    /// For strips of `rows` rows, with so many blocks of kept scores.
    pub(crate) fn new(rows: usize, blocks: usize) -> RowState {
        RowState {
            shift: vec![0.0; rows],
            shifts: vec![0.0; rows * blocks],
            sum: vec![0.0; rows],
            positive: vec![0.0; rows],
            factor: vec![0.0; rows],
            target_weight: vec![0.0; rows],
            masks: Masks { same: vec![0; rows], masked: vec![0; rows], excluded: vec![0; rows] },
        }
    }
}
