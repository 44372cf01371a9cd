//! Calls into libraries that panic where an error is due.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether a panic of this thread is caught and becomes an error: a program's own panic hook need not speak of it.
pub fn is_guarded() -> bool {
    DEPTH.try_with(|depth| depth.get() > 0).unwrap_or(false)
}

/// Says nothing any more of panics that are caught; of others the hook that was there before speaks. For programs, once.
pub fn hush_guarded_panics() {
    let speak = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_guarded() {
            speak(panic);
        }
    }));
}

/// Calls what may panic on damaged data or without memory; a panic's message is the error.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    let done = catch_unwind(AssertUnwindSafe(call));
    DEPTH.with(|depth| depth.set(depth.get() - 1));
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        assert_eq!(guarded(|| i32::from(is_guarded())), Ok(1));
        assert_eq!(guarded(|| panic!("no {}", 1)), Err::<(), _>("no 1".into()));
        assert!(!is_guarded());
    }
}
