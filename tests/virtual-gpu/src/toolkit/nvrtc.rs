//! NVRTC, opened from the exact file: two versions of it in one process.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use libloading::{Library, Symbol};

use super::{Result, ToolkitError, read, repository, source};

type Program = *mut c_void;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type Text = unsafe extern "C" fn(Program, *mut c_char) -> c_int;

/// One version of NVRTC.
pub struct Nvrtc {
    library: Library,
}

fn refused(reason: String) -> ToolkitError {
    ToolkitError::Tool { tool: "NVRTC", reason }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| refused("a source holds a zero byte".into()))
}

impl Nvrtc {
    /// Opens a library file.
    ///
    /// # Errors
    /// [`ToolkitError::Tool`] with the loader's words.
    pub fn open(path: &Path) -> Result<Nvrtc> {
        // SAFETY: the file is NVIDIA's library: its initialisers only set up its own state.
        let library = unsafe { Library::new(path) }.map_err(|e| refused(format!("{}: {e}", path.display())))?;
        Ok(Nvrtc { library })
    }

    /// # Safety
    /// `T` is the C type of the function `name`.
    unsafe fn function<T>(&self, name: &str) -> Result<Symbol<'_, T>> {
        // SAFETY: the caller vouches for the type.
        unsafe { self.library.get(name) }.map_err(|e| refused(e.to_string()))
    }

    /// Compiles a stem's source for `arch` (`compute_80` or newer) as Tercel does, and returns the PTX with the
    /// paths in it made relative to the repository.
    ///
    /// # Errors
    /// [`ToolkitError::Compile`] with NVRTC's log, [`ToolkitError::Io`], [`ToolkitError::Tool`].
    pub fn compile(&self, stem: &str, arch: &str) -> Result<String> {
        let folder = repository().join("kernels");
        let header = |name: &str| read(&folder.join(name)).ok();
        let text = source::expand(&read(&folder.join(source::path(stem)))?, stem, &header);
        let (text, name) = (c_string(&text)?, c_string(&source::program_name(stem))?);
        let options = source::options(arch).iter().map(|o| c_string(o)).collect::<Result<Vec<_>>>()?;
        let options: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        // SAFETY: the types are those of nvrtc.h, unchanged from CUDA 11 to 13.
        let (create, compile, destroy) = unsafe {
            (
                self.function::<Create>("nvrtcCreateProgram")?,
                self.function::<Compile>("nvrtcCompileProgram")?,
                self.function::<Destroy>("nvrtcDestroyProgram")?,
            )
        };
        let mut program: Program = std::ptr::null_mut();
        // SAFETY: both texts end with a zero byte and outlive the call; no headers are given, so none are read.
        let code = unsafe { create(&mut program, text.as_ptr(), name.as_ptr(), 0, std::ptr::null(), std::ptr::null()) };
        if code != 0 {
            return Err(refused(format!("nvrtcCreateProgram returned {code}")));
        }
        // SAFETY: `program` was just made; `options` holds that many texts, alive until the end of this function.
        let code = unsafe { compile(program, options.len() as c_int, options.as_ptr()) };
        let result = if code == 0 {
            self.text(program, "nvrtcGetPTXSize", "nvrtcGetPTX").map(|ptx| without_folders(&ptx))
        } else {
            self.text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog").and_then(|log| {
                Err(ToolkitError::Compile { stem: stem.into(), arch: arch.into(), log: log.trim_end().to_owned() })
            })
        };
        // SAFETY: `program` was made above, and nothing uses it afterwards.
        unsafe { destroy(&mut program) };
        result
    }

    /// A text of the program, by the functions that give its size and its bytes.
    fn text(&self, program: Program, size: &str, text: &str) -> Result<String> {
        // SAFETY: all of NVRTC's functions with these names have these types (nvrtc.h).
        let (size_of, get) = unsafe { (self.function::<Size>(size)?, self.function::<Text>(text)?) };
        let mut bytes = 0;
        // SAFETY: the program is alive: only `compile` calls this, before it destroys it.
        let code = unsafe { size_of(program, &mut bytes) };
        let mut buffer = vec![0u8; bytes.max(1)];
        // SAFETY: as above; the buffer has the size that NVRTC asked for.
        let code = if code == 0 { unsafe { get(program, buffer.as_mut_ptr().cast()) } } else { code };
        if code != 0 {
            return Err(refused(format!("{text} returned {code}")));
        }
        let text = CStr::from_bytes_until_nul(&buffer).map_err(|_| refused("a text without an end".into()))?;
        Ok(text.to_string_lossy().into_owned())
    }
}

/// NVRTC puts its working folder before the names in `.file` lines: everything before `kernels/` goes.
fn without_folders(ptx: &str) -> String {
    let mut out = String::with_capacity(ptx.len());
    for line in ptx.split_inclusive('\n') {
        let file = line.trim_start().starts_with(".file").then(|| line.split_once('"')).flatten();
        match file.and_then(|(before, path)| Some((before, path, path.rfind("kernels/")?))) {
            Some((before, path, at)) => out.extend([before, "\"", &path[at..]]),
            None => out.push_str(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folders_of_file_lines_go() {
        let ptx = "\t.file\t1 \"/home/x/kernels/y/kernels/loss.cu\"\n.b8 47,107 // \"/a/kernels/\"\n";
        let expected = "\t.file\t1 \"kernels/loss.cu\"\n.b8 47,107 // \"/a/kernels/\"\n";
        assert_eq!(without_folders(ptx), expected);
        assert_eq!(without_folders(expected), expected);
    }
}
