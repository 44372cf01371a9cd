//! Which pairs of accesses are races: two threads touch one word, ordered or not, of one warp, of two warps, of two
//! blocks, in shared and in global memory.

#[path = "support/machine.rs"]
mod machine;

use machine::{Shape, kernel_text, launch, memory, parse, run_body, upload};
use virtual_gpu::exec::Order;

/// What a thread does to the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Load,
    /// Changes the word.
    Store,
    Atomic,
    RelaxedLoad,
    RelaxedStore,
}

use Access::{Atomic, Load, RelaxedLoad, RelaxedStore, Store};

impl Access {
    fn text(self, space: &str, place: &str, value: u32) -> String {
        match self {
            Load => format!("ld.{space}.u32 %r1, [{place}];"),
            Store => format!("st.{space}.u32 [{place}], {value};"),
            Atomic => format!("red.{space}.add.u32 [{place}], {value};"),
            RelaxedLoad => format!("ld.relaxed.gpu.{space}.u32 %r1, [{place}];"),
            RelaxedStore => format!("st.relaxed.gpu.{space}.u32 [{place}], {value};"),
        }
    }

    fn writes(self) -> bool {
        !matches!(self, Load | RelaxedLoad)
    }

    fn strong(self) -> bool {
        matches!(self, Atomic | RelaxedLoad | RelaxedStore)
    }
}

/// Thread 0 of block 0 makes `first`, thread `other` of block `block` makes `second` behind `between`; the kinds of
/// what was reported. The word is 0 before.
fn pair(space: &str, first: Access, second: Access, other: u32, block: u32, between: &str) -> Vec<String> {
    let (declare, place) = match space {
        "shared" => (".shared .align 4 .b8 s[4]; @%p1 st.shared.u32 [s], 0; bar.sync 0;", "s"),
        _ => ("", "%out"),
    };
    let body = format!(
        "mov.u32 %r0, %ctaid.x; setp.eq.u32 %p0, %r0, 0; setp.eq.and.u32 %p1, %tid, 0, %p0;
             setp.eq.u32 %p2, %r0, {block};
         setp.eq.and.u32 %p2, %tid, {other}, %p2; {declare} @%p1 {} {between} @%p2 {}",
        first.text(space, place, 7),
        second.text(space, place, 9),
    );
    let module = parse(&kernel_text("", &body));
    let memory = memory();
    let (from, to) = (upload(&memory, &[0; 4]), upload(&memory, &[0; 4]));
    let report = launch(&module, "k", &memory, &Shape::new(2, 64), &[from, to]);
    assert!(report.fault.is_none(), "{report:?}");
    report.warnings.into_iter().map(|w| w.kind).collect()
}

const ALL: [Access; 5] = [Load, Store, Atomic, RelaxedLoad, RelaxedStore];

/// Whether two unordered accesses are a race that can be seen when `first` comes first.
fn race(first: Access, second: Access) -> bool {
    // A relaxed load leaves no record: it is only seen behind the plain store that it races with.
    let unseen = first == RelaxedLoad && !second.strong();
    (first.writes() || second.writes()) && !(first.strong() && second.strong()) && !unseen
}

#[test]
fn of_global_memory() {
    for first in ALL {
        for second in ALL {
            let expected: &[&str] = if race(first, second) { &["global memory race"] } else { &[] };
            let check = |other: u32, block: u32, between: &str, expected: &[&str]| {
                let found = pair("global", first, second, other, block, between);
                assert_eq!(found, expected, "{first:?} {second:?} thread {other} block {block} {between}");
            };
            // Nothing orders blocks, not even a barrier.
            check(0, 1, "", expected);
            check(33, 1, "bar.sync 0;", expected);
            // A barrier orders a block, a warp barrier only a warp.
            check(32, 0, "", expected);
            check(32, 0, "bar.warp.sync -1;", expected);
            check(32, 0, "bar.sync 0;", &[]);
            check(1, 0, "", expected);
            check(1, 0, "bar.warp.sync -1;", &[]);
            check(1, 0, "bar.sync 0;", &[]);
            // A thread is in order with itself.
            check(0, 0, "", &[]);
        }
    }
}

#[test]
fn tickets_order_blocks() {
    // Block 0 stores a word and takes a ticket; block 1 takes the next, and loads the word.
    let check = |store: &str, before: &str, first: &str, second: &str, after: &str| {
        let take = |order: &str| format!("@%p3 atom{order}.global.add.u32 %r2, [%out+4], 1;");
        let body = format!(
            "mov.u32 %r0, %ctaid.x; setp.eq.u32 %p0, %r0, 0; setp.eq.and.u32 %p1, %tid, {store}, %p0;
                 setp.eq.u32 %p2, %r0, 1; setp.eq.u32 %p3, %tid, 0;
             @%p1 st.global.u32 [%out], 7; @%p2 bra second; {before} {} ret;
             second: {} {after} @%p3 ld.global.u32 %r1, [%out];",
            take(first),
            take(second)
        );
        let module = parse(&kernel_text("", &body));
        let memory = memory();
        let (from, to) = (upload(&memory, &[0; 4]), upload(&memory, &[0; 8]));
        let report = launch(&module, "k", &memory, &Shape::new(2, 64), &[from, to]);
        assert!(report.fault.is_none(), "{report:?}");
        report.warnings.iter().all(|w| w.kind != "global memory race")
    };
    let relaxed = ".relaxed.gpu";
    for fence in ["fence.acq_rel.gpu;", "fence.sc.gpu;", "membar.gl;", "membar.sys;"] {
        assert!(check("0", fence, relaxed, relaxed, fence), "{fence}");
        assert!(check("0", fence, "", "", fence), "{fence}");
        assert!(!check("0", "", relaxed, relaxed, fence) && !check("0", fence, relaxed, relaxed, ""), "{fence}");
    }
    for narrow in ["fence.acq_rel.cta;", "membar.cta;", "fence.proxy.async;", "bar.sync 0;"] {
        assert!(!check("0", narrow, relaxed, relaxed, narrow), "{narrow}");
    }
    for (first, second) in [(".acq_rel.gpu", ".acq_rel.gpu"), (".release.gpu", ".acquire.gpu")] {
        assert!(check("0", "", first, second, ""), "{first} {second}");
        assert!(!check("0", "", second, relaxed, "") && !check("0", "", relaxed, second, ""), "{first} {second}");
    }
    assert!(!check("0", "", ".acq_rel.cta", ".acq_rel.cta", ""));
    // The word of another lane and of another warp: where they met the lane with the ticket before.
    let both = |store, before| check(store, before, ".acq_rel.gpu", ".acq_rel.gpu", "");
    assert!(!both("1", "") && both("1", "bar.warp.sync -1;") && both("1", "bar.sync 0;"));
    assert!(!both("33", "") && !both("33", "bar.warp.sync -1;") && both("33", "bar.sync 0;"));
}

#[test]
fn of_shared_memory() {
    let all = [Load, Store, Atomic];
    for first in all {
        for second in all {
            let expected: &[&str] = if race(first, second) { &["shared memory race"] } else { &[] };
            let check = |other: u32, between: &str, expected: &[&str]| {
                let found = pair("shared", first, second, other, 0, between);
                assert_eq!(found, expected, "{first:?} {second:?} thread {other} {between}");
            };
            check(32, "", expected);
            check(32, "bar.warp.sync -1;", expected);
            check(32, "bar.sync 0;", &[]);
            check(1, "", expected);
            check(1, "bar.warp.sync -1;", &[]);
            check(0, "", &[]);
        }
    }
}

#[test]
fn an_atomic_does_not_hide_its_threads_plain_store() {
    // Thread 0 stores and adds, thread 32 adds: the store races with the second addition.
    for space in ["global", "shared"] {
        let place = if space == "shared" { "s" } else { "%out" };
        let body = format!(
            ".shared .align 4 .b8 s[4]; setp.eq.u32 %p0, %tid, 0; @%p0 st.shared.u32 [s], 0; bar.sync 0;
             @%p0 st.{space}.u32 [{place}], 5; @%p0 red.{space}.add.u32 [{place}], 1;
             setp.eq.u32 %p1, %tid, 32; @%p1 red.{space}.add.u32 [{place}], 1;"
        );
        let (report, _) = run_body("", &body, 64, &[0], 1);
        let kinds: Vec<String> = report.warnings.into_iter().map(|w| w.kind).collect();
        assert_eq!(kinds, [format!("{space} memory race")]);
    }
}

#[test]
fn of_several_readers() {
    // Threads 0, 33 and 70 read, then a fourth writes: each of the readers alone would be a race.
    // So is a reader that writes itself: the others have read too.
    for writer in [1, 40, 64, 0, 33, 70] {
        let body = format!(
            "setp.eq.u32 %p0, %tid, 0; setp.eq.u32 %p1, %tid, 33; setp.eq.u32 %p2, %tid, 70;
                 setp.eq.u32 %p3, %tid, {writer};
             or.pred %p0, %p0, %p1; or.pred %p0, %p0, %p2; @%p0 ld.global.u32 %r1, [%out];
                  @%p3 st.global.u32 [%out], 3;"
        );
        let (report, _) = run_body("", &body, 96, &[0], 1);
        assert!(report.warnings.iter().any(|w| w.kind == "global memory race"), "{writer}");
    }
}

#[test]
fn neighbouring_bytes_are_no_race() {
    for (ty, bytes, space) in [("u8", 1, "global"), ("u16", 2, "global"), ("u8", 1, "shared"), ("u16", 2, "shared")] {
        let base = if space == "shared" { "mov.u32 %r3, s; add.u32 %r3, %r3, %r2;" } else { "" };
        let place = if space == "shared" { "%r3" } else { "%q0" };
        let body = format!(
            ".shared .align 4 .b8 s[512]; mul.lo.u32 %r2, %tid, {bytes}; cvt.u64.u32 %q0, %r2;
                 add.u64 %q0, %q0, %out; {base}
             cvt.u16.u32 %h1, %tid; st.{space}.{ty} [{place}], %h1; ld.{space}.{ty} %h2, [{place}];"
        );
        let (report, _) = run_body("", &body, 96, &[0], 96);
        machine::clean(&report);
        // A byte further it is one.
        let wider = body
            .replace(&format!("ld.{space}.{ty} %h2, [{place}]"), &format!("ld.{space}.{ty} %h2, [{place}+{bytes}]"));
        let wider = wider.replace(&format!("st.{space}"), &format!("setp.lt.u32 %p0, %tid, 95; @!%p0 ret; st.{space}"));
        let (report, _) = run_body("", &wider, 96, &[0], 96);
        assert!(!report.warnings.is_empty(), "{ty} {space}");
    }
}

#[test]
fn a_store_that_changes_nothing_is_no_race() {
    let body = "st.global.u32 [%out], 4;";
    let (report, _) = run_body("", body, 64, &[0], 1);
    machine::clean(&report);
    let (report, _) = run_body("", "st.global.u32 [%out], %tid;", 64, &[0], 1);
    assert_eq!(report.warnings.len(), 1);
}

#[test]
fn the_report_names_both_parties() {
    let body = "mov.u32 %r0, %ctaid.x; setp.eq.u32 %p0, %r0, 2; setp.eq.and.u32 %p0, %tid, 5, %p0;
         setp.eq.u32 %p1, %r0, 3;
         setp.eq.and.u32 %p1, %tid, 6, %p1; or.pred %p0, %p0, %p1; mad.lo.u32 %r1, %r0, 10, %tid;
         @%p0 st.global.u32 [%out], %r1;";
    let module = parse(&kernel_text("", body));
    for (order, later, earlier) in [(Order::Forward, 3, 2), (Order::Reverse, 2, 3)] {
        let memory = memory();
        let (from, to) = (upload(&memory, &[0; 4]), upload(&memory, &[0; 4]));
        let mut shape = Shape::new(5, 32);
        shape.options.block_order = order;
        let report = launch(&module, "k", &memory, &shape, &[from, to]);
        let [warning] = &report.warnings[..] else { panic!("{report:?}") };
        assert_eq!(
            (warning.place.block, warning.place.thread),
            ([later, 0, 0], [if later == 3 { 6 } else { 5 }, 0, 0])
        );
        assert!(warning.detail.ends_with(&format!("written here, written by block {earlier}")), "{}", warning.detail);
        assert_eq!(warning.place.instruction, "@%p0 st.global.u32 [%out], %r1");
    }
}

#[test]
fn wrong_addresses_are_faults() {
    let fault = |body: &str| {
        let (report, _) = run_body("", body, 32, &[0; 4], 4);
        report.fault.map(|f| (f.kind, f.place.thread[0])).unwrap_or_default()
    };
    let at = |s: &str| s.to_string();
    let lane = "mad.wide.u32 %q0, %lane, 4, %out;";
    assert_eq!(fault(&format!("{lane} red.global.add.u32 [%q0], 1;")), (at("out of bounds global atomic"), 4));
    assert_eq!(fault(&format!("{lane} st.global.u32 [%q0], 1;")), (at("out of bounds global store"), 4));
    assert_eq!(fault(&format!("{lane} st.global.u32 [%q0+-8], 1;")), (at("out of bounds global store"), 0));
    assert_eq!(fault("red.global.add.u32 [%out+2], 1;"), (at("misaligned global atomic"), 0));
    assert_eq!(fault("ld.global.u64 %q0, [%in+4];"), (at("misaligned global load"), 0));
    assert_eq!(fault("ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%in+8];"), (at("misaligned global load"), 0));
    // Across the end: the first half is inside.
    assert_eq!(fault("ld.global.v2.u64 {%q0, %q1}, [%in+16];"), (at("out of bounds global load"), 0));
    let shared = ".shared .align 16 .b8 s[64]; mov.u32 %r0, s; mad.lo.u32 %r0, %lane, 4, %r0;";
    assert_eq!(fault(&format!("{shared} st.shared.u32 [%r0], 1;")), (at("out of bounds shared store"), 16));
    assert_eq!(fault(&format!("{shared} ld.shared.u64 %q0, [%r0];")), (at("misaligned shared load"), 1));
    assert_eq!(fault(&format!("{shared} st.shared.u32 [%r0+-4], 1;")), (at("out of bounds shared store"), 0));
    assert_eq!(fault(&format!("{shared} red.shared.add.u32 [%r0+60], 1;")), (at("out of bounds shared atomic"), 1));
    assert_eq!(
        fault(
            ".local .align 8 .b8 l[8]; mov.u64 %q0, l; cvta.local.u64 %q0, %q0;
         red.add.u32 [%q0], 1;"
        ),
        (at("atomic on local memory"), 0)
    );
    assert_eq!(fault("ld.param.u64 %q0, [p1+8];"), (at("out of bounds parameter load"), 0));
    assert_eq!(
        fault(
            "mov.b64 %q0, p0; cvta.param.u64 %q0, %q0;
         st.u32 [%q0], 1;"
        ),
        (at("store to kernel parameters"), 0)
    );
}

#[test]
fn unwritten_shared_memory_is_reported_byte_by_byte() {
    let body = |store: &str, load: &str| {
        format!(
            ".shared .align 8 .b8 s[8]; setp.eq.u32 %p0, %tid, 0; @!%p0 ret;
         mov.u32 %r0, 1; cvt.u16.u32 %h0, %r0; {store} {load}"
        )
    };
    let found = |store: &str, load: &str| {
        let (report, _) = run_body("", &body(store, load), 32, &[0], 1);
        report.warnings.len()
    };
    assert_eq!(found("st.shared.u32 [s], %r0;", "ld.shared.u32 %r1, [s];"), 0);
    assert_eq!(found("st.shared.u16 [s], %h0;", "ld.shared.u16 %h1, [s];"), 0);
    assert_eq!(found("st.shared.u16 [s], %h0;", "ld.shared.u32 %r1, [s];"), 1);
    assert_eq!(found("st.shared.u8 [s+3], %h0;", "ld.shared.u8 %h1, [s+2];"), 1);
    assert_eq!(found("st.shared.u32 [s], %r0;", "ld.shared.u64 %q1, [s];"), 1);
    assert_eq!(found("st.shared.u32 [s], %r0;", "atom.shared.add.u32 %r1, [s+4], 1;"), 1);
}

#[test]
fn the_read_only_path_does_not_see_the_launchs_stores() {
    // Even one thread alone: its own store before or after, a barrier between or not.
    let (load, store) = ("ld.global.nc.u32 %r1, [%out];", "st.global.u32 [%out], 5;");
    let (after, before) =
        ("ld.global.nc of memory that the launch writes", "store to memory that the launch reads with ld.global.nc");
    for (first, second, kind) in [(store, load, after), (load, store, before)] {
        for between in ["", "bar.sync 0;"] {
            let (report, _) = run_body("", &format!("{first} {between} {second}"), 1, &[0], 1);
            let kinds: Vec<&str> = report.warnings.iter().map(|w| w.kind.as_str()).collect();
            assert_eq!(kinds, [kind]);
        }
    }
    // Another word of the same allocation is free to be written.
    let (report, _) = run_body("", &format!("{load} st.global.u32 [%out+4], 5;"), 1, &[0], 2);
    machine::clean(&report);
}
