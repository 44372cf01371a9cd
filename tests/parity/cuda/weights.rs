//! The weights of rows under SoftmaxLoss@K.

use super::*;
use crate::backend::cpu::parity::weights::{Case, SHAPES};

const WEIGHTS: Tolerance = Tolerance { relative: 2e-5, of_largest: 0.0, absolute: 1e-7 };

#[test]
fn top_k_weights_match_the_oracle_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for (rows, columns, dim) in SHAPES {
        for options in 0..8 {
            let case = Case::new(rows, columns, dim, options);
            let name = format!("{rows} x {columns} x {dim}, options {options:03b}");
            let found = case.run(&cuda).expect("fits");
            WEIGHTS.check(&name, &found, &case.oracle());
            assert_eq!(bits(&found), bits(&case.run(&cuda).expect("fits")), "{name}: twice");
        }
    }
    Case::extremes(&cuda);
    Case::refusals(&cuda);
}
