//! The committed PTX is what the sources give, and the virtual GPU understands what either front end writes.

use virtual_gpu::ptx::parse;
use virtual_gpu::toolkit::nvrtc::Nvrtc;
use virtual_gpu::toolkit::{Toolkit, committed, only_for, stems};

/// Parses each text and compares its kernels with those of the same stem in `like`.
fn parse_all(texts: &[(String, String)], like: Option<&[(String, String)]>) {
    let names = |stem: &str, text: &str| {
        let module = parse(text).unwrap_or_else(|e| panic!("{stem}: {e}"));
        let mut names: Vec<String> = module.kernels().map(|kernel| kernel.name.clone()).collect();
        names.sort_unstable();
        assert!(!names.is_empty(), "{stem} has kernels");
        names
    };
    for (stem, text) in texts {
        let found = names(stem, text);
        if let Some((_, like)) = like.and_then(|like| like.iter().find(|(other, _)| other == stem)) {
            assert_eq!(found, names(stem, like), "{stem}");
        }
    }
}

#[test]
fn the_committed_ptx_is_complete_and_is_understood() {
    let committed = committed::all().unwrap();
    let found: Vec<_> = committed.iter().map(|(stem, _)| stem.clone()).collect();
    assert_eq!(found, stems().unwrap(), "kernels/ptx/*.ptx and kernels/*/*.cu have the same stems");
    parse_all(&committed, None);
    for (stem, text) in &committed {
        // PTX 7.8 for sm_80: what every driver from CUDA 11.8 on takes. For sm_90a, from CUDA 12.0 on.
        let (isa, target) = match only_for(stem) {
            None => (".version 7.8\n", ".target sm_80\n"),
            Some(_) => (committed::SM_90A_ISA, ".target sm_90a\n"),
        };
        assert!(text.contains(isa) && text.contains(target), "{stem}");
        assert!(committed::is_packed(stem, text), "kernels/ptx/{stem}.ptx.zst holds another text: `cargo vgpu ptx`");
    }
}

#[test]
fn the_committed_ptx_is_what_the_sources_give() {
    let Some(toolkit) = Toolkit::find_or_skip() else { return };
    let differences = committed::differences(&committed::regenerate(&toolkit).unwrap()).unwrap();
    let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "write it again with `cargo vgpu ptx`:\n{}", lines.join("\n"));
}

#[test]
fn ptx_of_the_newer_front_end_is_understood() {
    let Some(toolkit) = Toolkit::find_or_skip() else { return };
    let nvrtc = Nvrtc::open(&toolkit.nvrtc_12).unwrap();
    let compiled = committed::compile_all(&nvrtc, "compute_100").unwrap();
    parse_all(&compiled, Some(&committed::all().unwrap()));
}
