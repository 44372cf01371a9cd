//! The end of the process: a last look, and an exit code that cannot be missed.

use std::ffi::{c_int, c_void};
use std::sync::Once;

use serde_json::json;

use super::state;

/// Exit code of a process that ended well but in which something was found.
pub const CODE: c_int = 86;

unsafe extern "C" {
    // glibc's: as atexit, and told the exit status.
    fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
}

/// Has the process end with a report. The library is linked to stay loaded, so the function is there then.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `finish` has the signature on_exit asks for and takes no notice of its argument.
        let failed = unsafe { on_exit(finish, std::ptr::null_mut()) };
        if failed != 0 {
            eprintln!("virtual GPU: no report at exit: on_exit failed");
        }
    });
}

extern "C" fn finish(status: c_int, _: *mut c_void) {
    let findings = state::at_exit(|driver| {
        driver.drain();
        let contexts: Vec<usize> = driver.contexts.keys().copied().collect();
        let working: Vec<usize> = contexts.into_iter().filter(|&c| driver.alive(c).is_ok()).collect();
        let leaks: Vec<String> = working.into_iter().flat_map(|c| driver.report_leaks(c)).collect();
        let findings = driver.journal.findings().len();
        driver.journal.line(&json!({
            "kind": "exit", "process": std::process::id(), "status": status, "findings": findings,
            "peak_bytes": driver.memory.peak_bytes(), "live_bytes": driver.memory.live_bytes(), "leaks": leaks,
            "ordering_calls": driver.ordering_calls, "counts": driver.counts.json(),
        }));
        if driver.settings.fail { findings } else { 0 }
    });
    if status == 0 && findings.is_some_and(|n| n > 0) {
        eprintln!("virtual GPU: {} findings, exit code {CODE}", findings.unwrap_or(0));
        // SAFETY: flushes all C streams, then ends the process; both may be called at any time.
        unsafe {
            libc::fflush(std::ptr::null_mut());
            libc::_exit(CODE);
        }
    }
}
