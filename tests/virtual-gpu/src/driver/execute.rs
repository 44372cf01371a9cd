//! Runs one operation, and looks whether it is ordered after those that touched the same bytes.

use std::ops::Range;

use serde_json::json;

use super::buffers::Lookup;
use super::error::*;
use super::hazard::{Access, Use};
use super::host::checksum;
use super::journal::Finding;
use super::state::Driver;
use super::stream::{Action, Op, QueuedLaunch, Source};
use crate::exec::{self, Launch};
use crate::report::Fault;

/// Which table a buffer is in.
#[derive(Clone, Copy)]
enum Table {
    Device,
    Pinned,
}

impl Driver {
    /// Runs an operation. Once its context has ended by an error, only frees still happen.
    pub fn execute(&mut self, op: Op) {
        let ended = self.alive(op.context).is_err();
        match &op.action {
            Action::Mark => {}
            Action::Free { base } => self.run_free(&op, *base),
            _ if ended => {}
            Action::HostToDevice { to, from } => self.run_copy_in(&op, *to, from),
            Action::DeviceToHost { to, from, bytes, pinned } => self.run_copy_out(&op, *to, *from, *bytes, *pinned),
            Action::DeviceToDevice { to, from, bytes } => {
                self.touch_device(&op, *from..from + bytes, Use::Read);
                self.touch_device(&op, *to..to + bytes, Use::Write);
                let done = self.memory.copy(*to, *from, *bytes).map(drop);
                self.end_on_error(&op, done.map_err(|e| e.to_string()));
            }
            Action::Fill { to, value, width, count } => {
                self.touch_device(&op, *to..to + u64::from(*width) * count, Use::Write);
                let done = self.memory.fill(*to, *value, *width, *count);
                self.end_on_error(&op, done.map_err(|e| e.to_string()));
            }
            Action::Launch(launch) => self.run_launch(&op, launch),
            Action::Host { function, data } => function(*data as *mut std::ffi::c_void),
        }
    }

    /// Notes what an operation does to device bytes, and whether that races with another stream.
    fn touch_device(&mut self, op: &Op, range: Range<u64>, how: Use) {
        if let Lookup::Inside(base) | Lookup::Freed(_, Some(base)) =
            self.device.look_up(range.start, range.end.saturating_sub(range.start))
        {
            self.touch(op, Table::Device, base, range, how);
        }
    }

    fn touch(&mut self, op: &Op, table: Table, base: u64, range: Range<u64>, how: Use) {
        let table = match table {
            Table::Device => &mut self.device,
            Table::Pinned => &mut self.pinned,
        };
        let Some(buffer) = table.at(base) else { return };
        let access = Access { range, how, slot: op.id.slot, seq: op.id.seq, order: op.order, what: op.what.clone() };
        if let Some(hazard) = buffer.history.note(access, &op.clock) {
            let kind = if hazard.frees { "free while in use" } else { "stream hazard" };
            let kernel = match &op.action {
                Action::Launch(launch) => launch.kernel.clone(),
                _ => String::new(),
            };
            self.journal.find("warning", Finding { kind: kind.into(), kernel, text: hazard.words });
        }
    }

    /// An operation that cannot be done ends its context, as an illegal access does.
    fn end_on_error(&mut self, op: &Op, done: Result<(), String>) {
        if let Err(reason) = done {
            let text = format!("{}: {reason}", op.what);
            self.journal.find("fault", Finding { kind: "illegal access".into(), kernel: String::new(), text });
            self.end_context(op.context, CUDA_ERROR_ILLEGAL_ADDRESS);
        }
    }

    fn end_context(&mut self, context: usize, code: CUresult) {
        if let Some(c) = self.contexts.get_mut(&context) {
            c.sticky.get_or_insert(code);
        }
    }

    fn run_free(&mut self, op: &Op, base: u64) {
        let Some(buffer) = self.device.at(base) else { return };
        let (bytes, by) = (buffer.bytes, buffer.freed_by.clone().unwrap_or_else(|| op.what.clone()));
        self.touch(op, Table::Device, base, base..base + bytes, Use::Free);
        self.device.remove(base, &by);
        let done = self.memory.free(base);
        self.end_on_error(op, done.map_err(|e| e.to_string()));
    }

    fn run_copy_in(&mut self, op: &Op, to: u64, from: &Source) {
        let done = match from {
            Source::Staged(bytes) => {
                self.touch_device(op, to..to + bytes.len() as u64, Use::Write);
                self.memory.copy_in(to, bytes)
            }
            Source::Pinned { address, bytes, checksum: before, base } => {
                self.touch_device(op, to..to + *bytes as u64, Use::Write);
                let start = *address as u64;
                self.touch(op, Table::Pinned, *base, start..start + *bytes as u64, Use::Read);
                // SAFETY: the range was inside a live pinned buffer at the call, and cuMemFreeHost runs all that is
                // queued before it gives a buffer back. That the host does not write meanwhile is the very thing
                // checked next; a write would garble these bytes, not the memory of the driver.
                let source = unsafe { std::slice::from_raw_parts(*address as *const u8, *bytes) };
                if checksum(source) != *before {
                    let text = format!("{}: pinned source changed before the copy ran ({bytes} bytes)", op.what);
                    self.journal.warn("pinned source changed", text);
                }
                self.memory.copy_in(to, source)
            }
        };
        self.end_on_error(op, done.map_err(|e| e.to_string()));
    }

    fn run_copy_out(&mut self, op: &Op, to: usize, from: u64, bytes: usize, pinned: Option<u64>) {
        self.touch_device(op, from..from + bytes as u64, Use::Read);
        if let Some(base) = pinned {
            self.touch(op, Table::Pinned, base, to as u64..to as u64 + bytes as u64, Use::Write);
        }
        // SAFETY: a pinned target was inside a live buffer at the call and cuMemFreeHost runs all that is queued
        // before it gives a buffer back; a pageable target is the argument of a call that has not returned yet,
        // whose caller vouches for `bytes` writable bytes.
        let target = unsafe { std::slice::from_raw_parts_mut(to as *mut u8, bytes) };
        match self.memory.copy_out(target, from) {
            Ok(None) => {}
            Ok(Some(gap)) => {
                let text = format!(
                    "{}: {} of {bytes} bytes were never written, the first at byte {}",
                    op.what,
                    gap.bytes,
                    gap.address.wrapping_sub(from)
                );
                self.journal.warn("uninitialised copy-out", text);
            }
            Err(e) => self.end_on_error(op, Err(e.to_string())),
        }
    }

    fn run_launch(&mut self, op: &Op, launch: &QueuedLaunch) {
        let module = launch.module.clone();
        let kernel = module.ptx.kernel(&launch.kernel).expect("the function was found by this name in this module");
        let report = exec::run(&Launch {
            kernel,
            module: &module.ptx,
            grid: launch.grid,
            block: launch.block,
            dynamic_shared: launch.dynamic_shared,
            params: &launch.params,
            memory: &self.memory,
            options: &self.settings.exec,
        });
        for touched in &report.touched {
            for (range, how) in [(&touched.read, Use::Read), (&touched.written, Use::Write)] {
                if let Some(range) = range {
                    self.touch(op, Table::Device, touched.allocation, range.clone(), how);
                }
            }
        }
        self.journal.line(&json!({
            "kind": "launch", "kernel": launch.kernel, "stream": self.streams[op.id.slot].name,
            "grid": launch.grid, "block": launch.block, "dynamic_shared": launch.dynamic_shared,
            "counters": report.counters, "warnings": report.warnings_total,
        }));
        for warning in &report.warnings {
            let text = format!("{} ({})", warning.detail, warning.place);
            let finding = Finding { kind: warning.kind.clone(), kernel: launch.kernel.clone(), text };
            self.journal.find("warning", finding);
        }
        if let Some(fault) = &report.fault {
            let (detail, place) = (&fault.detail, &fault.place);
            let text = format!("{detail} ({place}); launch of grid {:?}, block {:?}", launch.grid, launch.block);
            let finding = Finding { kind: fault.kind.clone(), kernel: launch.kernel.clone(), text };
            self.journal.find("fault", finding);
            self.end_context(op.context, fault_code(fault));
        }
    }
}

/// The error that CUDA gives for a fault.
fn fault_code(fault: &Fault) -> CUresult {
    let kind = fault.kind.as_str();
    let has = |words: &[&str]| words.iter().any(|w| kind.contains(w));
    if has(&["misaligned"]) {
        CUDA_ERROR_MISALIGNED_ADDRESS
    } else if has(&["out of bounds", "use after free", "illegal address", "freed"]) {
        CUDA_ERROR_ILLEGAL_ADDRESS
    } else if has(&["budget"]) {
        CUDA_ERROR_LAUNCH_TIMEOUT
    } else {
        CUDA_ERROR_LAUNCH_FAILED
    }
}
