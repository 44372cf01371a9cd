//! What catalogues take on the device, against what is counted for them.

use super::topk::{Case, Random};
use super::topk_sm90a::devices;
use crate::backend::cuda::topk::{Codes, CudaIndex, Form, topk_reported};
use crate::backend::{Memory, TopK};
use crate::model::catalogue_bytes;

#[test]
fn a_catalogue_takes_what_is_counted_cuda() {
    let Some(devices) = devices() else { return };
    let mut random = Random(121);
    let (rows, items, k) = (3, 2600, 5);
    for dim in [50, 64, 100, 128, 130] {
        let (queries, catalogue) = (random.normals(rows * dim), random.normals(items * dim));
        let biases = random.normals(items);
        let case = Case { queries: &queries, items: &catalogue, biases: Some(&biases), dim, skip: None, k };
        for cuda in &devices {
            let packed = case.pack(cuda);
            let none: Option<&Codes> = None;
            case.run(cuda, |best, asked| topk_reported(cuda, best, &packed, none, asked).expect("runs"));
            let kernels_for = cuda.architecture().name();
            // A row's number is the caller's.
            let counted = catalogue_bytes(items as u64, dim as u64, kernels_for) - items as u64 * 8;
            let (found, form) = (packed.device_bytes() as u64, cuda.scan_form());
            let name = format!("{kernels_for}, {form:?}, {dim} wide: {found} bytes, {counted} counted");
            assert!(found <= counted + 64, "{name}");
            // Panels of codes have half the bytes.
            assert!(form == Form::Int8 || found + 1024 > counted, "{name}");
        }
    }
}

#[test]
fn an_index_holds_what_its_searches_scan_cuda() {
    let Some([old, hopper, _]) = devices() else { return };
    let mut random = Random(131);
    let (rows, items, dim, k) = (3, 2600, 64, 5);
    let (queries, catalogue) = (random.normals(rows * dim), random.normals(items * dim));
    let case = Case { queries: &queries, items: &catalogue, biases: None, dim, skip: None, k };
    // Rows in fp32 and bf16, and the five words of the stats; a code a column and a scale; a panel and the rows' order.
    let (exact, codes, panels) = (items * dim * 6 + 20, items * (dim + 4), 2688 * dim * 2 + items * 4);
    for (cuda, scanned) in [(&old, codes), (&hopper, panels)] {
        let index =
            CudaIndex::new(cuda, items, dim, false, |r| (&catalogue[r * dim..(r + 1) * dim], 0.0)).expect("room");
        assert_eq!(index.device_bytes(), exact);
        let on_device = cuda.upload(queries.clone()).expect("room");
        let asked = TopK { queries: &on_device, rows, k, skip: None };
        let search = |recall: f32| {
            let asked = index.ask(cuda, &asked, recall).expect("runs");
            let found = index.lists(cuda, asked).expect("arrives");
            ((found.ids, found.scores), index.device_bytes())
        };
        let (found, bytes) = search(1.0);
        case.check("an index", &found);
        assert_eq!(bytes, exact + scanned, "{}", cuda.architecture().name());
        let bytes = search(0.9).1;
        assert!(bytes == exact + codes || bytes == exact + codes + panels, "{bytes}");
    }
}
