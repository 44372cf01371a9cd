//! The CUDA compiler, where the machine has one.

use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts, sys};

/// PTX of a source for an architecture such as `compute_80`, or `None` without a compiler: a test that needs one then
/// says so, or fails where the environment says `REQUIRE_NVRTC=1`.
pub fn compile(source: &str, arch: &'static str) -> Option<String> {
    // SAFETY: only looks for the library and opens it.
    if !unsafe { sys::is_culib_present() } {
        assert!(std::env::var_os("REQUIRE_NVRTC").is_none(), "REQUIRE_NVRTC is set and there is no NVRTC");
        println!("skipped: no NVRTC, only the PTX in the repository is tested");
        return None;
    }
    let options = CompileOptions {
        name: Some("seeded.cu".into()),
        arch: Some(arch),
        options: vec!["--std=c++17".into(), "-lineinfo".into()],
        ..CompileOptions::default()
    };
    let ptx = compile_ptx_with_opts(source, options).unwrap_or_else(|e| panic!("{arch}: {e:?}"));
    Some(ptx.to_src())
}
