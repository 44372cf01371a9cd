//! What a suite found.

use std::fmt::Display;
use std::io::Write;
use std::sync::Mutex;

use super::command::Run;

/// What must never be found.
#[derive(Clone, Copy)]
pub enum Finding {
    /// Another value than the undamaged, unbroken run gives, and no word of it.
    Wrong,
    /// A state between two good ones, or something foreign that is gone.
    State,
    /// An end by a signal, by a panic, or none at all.
    Death,
}

/// The cases of a suite and its findings.
pub struct Tally {
    suite: &'static str,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    cases: u64,
    counts: [u64; 3],
    words: Vec<String>,
}

/// As many findings are shown of a short run.
const SHOWN: usize = 60;

impl Tally {
    pub fn new(suite: &'static str) -> Tally {
        Tally { suite, found: Mutex::default() }
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().expect("no case panics while it counts")
    }

    pub fn case(&self) {
        self.found().cases += 1;
    }

    /// Notes a finding.
    pub fn note(&self, finding: Finding, words: impl Display) {
        let mut found = self.found();
        found.counts[finding as usize] += 1;
        let kind = ["wrong value", "bad state", "death"][finding as usize];
        found.words.push(format!("{kind}: {words}"));
    }

    /// Notes a death where the run was one, and says whether it was.
    pub fn death(&self, case: impl Display, run: &Run) -> bool {
        if run.died() {
            self.note(Finding::Death, format_args!("{case}: {}", run.ending()));
        }
        run.died()
    }

    /// Prints the figures and demands that there is nothing to be found.
    pub fn finish(self) {
        let found = self.found.into_inner().expect("no case panics while it counts");
        let [wrong, states, deaths] = found.counts;
        let line = format!(
            "faults: {:<14} {:>6} cases, {wrong} wrong values, {states} bad states, {deaths} deaths\n",
            self.suite, found.cases
        );
        // Not `eprint`, which the test runner keeps to itself where all is well.
        let _ = std::io::stderr().write_all(line.as_bytes());
        let shown = if long() { found.words.len() } else { SHOWN };
        let shown = found.words.iter().take(shown).map(|words| format!("\n  {words}")).collect::<String>();
        assert!(found.counts == [0; 3], "{line}{shown}");
        assert!(found.cases > 0, "{}: no cases", self.suite);
    }
}

/// Whether every case runs, and not a part of them.
pub fn long() -> bool {
    std::env::var("TERCEL_FAULTS").is_ok_and(|said| said == "long")
}

/// Some numbers of 1 to `last`: all of them in a long run, else `few` spread over the range, others with another seed.
pub fn points(last: u64, few: u64, salt: &str) -> Vec<u64> {
    if long() || last <= few {
        return (1..=last).collect();
    }
    let seed = std::env::var("TERCEL_FAULTS_SEED").ok().and_then(|said| said.parse().ok()).unwrap_or(0u64);
    let mut random = Random::new(seed, salt);
    // One of each of `few` equal parts.
    (0..few)
        .map(|part| (part * last / few, (part + 1) * last / few))
        .map(|(from, to)| 1 + from + random.below(to - from))
        .collect()
}

/// Numbers that look random and are the same every time (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64, salt: &str) -> Random {
        Random(seed ^ xxhash_rust::xxh3::xxh3_64(salt.as_bytes()))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
