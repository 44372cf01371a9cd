//! Link options of the stand-in library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // NVRTC opens the driver and closes it again; the report at exit needs the library to stay.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
}
