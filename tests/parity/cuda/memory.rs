//! Buffers, batches' inputs, values that come back late.

use super::*;
use crate::backend::{Memory, Queue};

#[test]
fn values_come_back_as_they_went_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for len in [0, 1, 3, 1000] {
        let host: Vec<u32> = (0..len as u32).map(|x| x.wrapping_mul(2_654_435_761)).collect();
        let buf = cuda.upload(host.clone()).expect("fits");
        let back = cuda.host(&buf, len).expect("fits");
        assert_eq!(*back, host[..]);
    }
    assert!(cuda.host(&cuda.zeros::<f32>(2).expect("fits"), 3).is_err(), "longer than the buffer");
    assert_eq!(*cuda.host(&cuda.zeros::<f32>(5).expect("fits"), 5).expect("fits"), [0.0; 5]);
}

#[test]
fn staged_inputs_live_for_their_batch_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let (mut a, mut b) = (cuda.zeros::<u32>(0).expect("fits"), cuda.zeros::<u32>(0).expect("fits"));
    for batch in 0..7u32 {
        cuda.begin_batch().expect("goes on");
        // Larger and larger: areas grow in the middle of a batch.
        let len = 1000usize << (2 * batch);
        let (first, second): (Vec<u32>, Vec<u32>) = (0..len as u32).map(|x| (x ^ batch, x + batch)).unzip();
        cuda.stage(&mut a, &first).expect("fits");
        cuda.stage(&mut b, &second).expect("fits");
        assert_eq!(*cuda.host(&a, len).expect("there"), first[..]);
        assert_eq!(*cuda.host(&b, len).expect("there"), second[..]);
    }
}

#[test]
fn late_values_keep_their_order_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut values = Vec::new();
    let mut buf = cuda.zeros::<f32>(1).expect("fits");
    for step in 0..11 {
        cuda.begin_batch().expect("goes on");
        let next = cuda.upload(vec![step as f32]).expect("fits");
        cuda.copy_rows(&mut buf, 0, &next, 0, 1, 1).expect("fits");
        cuda.read_later(&buf).expect("goes on");
        cuda.arrived(false, &mut values).expect("goes on");
    }
    cuda.arrived(true, &mut values).expect("goes on");
    assert_eq!(values, (0..11).map(|x| x as f32).collect::<Vec<_>>());
}
