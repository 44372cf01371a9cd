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

/// The major version of the compiler; 0 without one.
#[allow(dead_code)] // Each test file uses its part.
pub fn version() -> i32 {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: only looks for the library and opens it.
    if unsafe { sys::is_culib_present() } {
        // SAFETY: the pointers are to locals of the right type.
        unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
    }
    major
}
