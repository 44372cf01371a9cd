//! Who knows of whose accesses, where barriers order part of a block.
//!
//! Vector clocks. Every warp has a time, which moves on when it tells others what it did (at a barrier, an arrival, a
//! fence) or its lanes meet. A warp's clock says up to which time it knows each other warp's accesses, and how many
//! phases of each mbarrier it has seen end: with those it knows the bulk copies that belong to them.

use std::rc::Rc;

/// Agents are warps, then mbarriers.
pub(crate) const FIRST_BARRIER: usize = 32;

/// What is known of one agent: accesses before `all` by any lane, and those before `some` by some lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    all: u32,
    some: u32,
    lanes: u32,
}

impl Known {
    /// Whether accesses at `time` by all of `lanes` are known.
    #[inline(always)]
    pub fn covers(self, lanes: u32, time: u32) -> bool {
        time < self.all || (time < self.some && lanes & !self.lanes == 0)
    }

    fn join(&mut self, other: Known) {
        self.all = self.all.max(other.all);
        if other.lanes != 0 {
            self.some = self.some.max(other.some);
            self.lanes |= other.lanes;
        }
    }
}

/// What is known of all agents; `visible`: which of the generic accesses asynchronous ones see, behind a proxy fence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    known: Vec<Known>,
    visible: Vec<Known>,
}

fn join(to: &mut Vec<Known>, from: &[Known]) {
    if to.len() < from.len() {
        to.resize(from.len(), Known::default());
    }
    for (a, &b) in to.iter_mut().zip(from) {
        a.join(b);
    }
}

fn entry(list: &mut Vec<Known>, agent: usize) -> &mut Known {
    if list.len() <= agent {
        list.resize(agent + 1, Known::default());
    }
    &mut list[agent]
}

impl Clock {
    /// Learns what another knows.
    pub fn join(&mut self, other: &Clock) {
        join(&mut self.known, &other.known);
        join(&mut self.visible, &other.visible);
    }

    /// What is known of an agent.
    #[inline(always)]
    pub fn of(&self, agent: usize) -> Known {
        self.known.get(agent).copied().unwrap_or_default()
    }

    /// What asynchronous accesses see of an agent.
    #[inline(always)]
    pub fn seen_of(&self, agent: usize) -> Known {
        self.visible.get(agent).copied().unwrap_or_default()
    }
}

/// One warp's time and clock.
#[derive(Default)]
struct Own {
    time: u32,
    clock: Clock,
    /// The clock as it was handed out last; none once it has changed.
    copy: Option<Rc<Clock>>,
}

/// A block's clocks.
pub(crate) struct Clocks {
    warps: Vec<Own>,
    /// What `bar.arrive` has told each barrier.
    told: [Clock; 16],
}

impl Clocks {
    pub fn new(warps: usize) -> Clocks {
        let warps = std::iter::repeat_with(Own::default).take(warps).collect();
        Clocks { warps, told: std::array::from_fn(|_| Clock::default()) }
    }

    /// Forgets the block before.
    pub fn reset(&mut self) {
        *self = Clocks::new(self.warps.len());
    }

    /// The warp's time.
    #[inline(always)]
    pub fn time(&self, warp: usize) -> u32 {
        self.warps[warp].time
    }

    /// What the warp knows.
    #[inline(always)]
    pub fn clock(&self, warp: usize) -> &Clock {
        &self.warps[warp].clock
    }

    /// The warp's lanes have met.
    pub fn warp_sync(&mut self, warp: usize) {
        let own = &mut self.warps[warp];
        own.time += 1;
        entry(&mut own.clock.known, warp).all = own.time;
        own.copy = None;
    }

    /// What some lanes of the warp tell: what the warp knows, and what they did. `all`: they are all there are.
    pub fn tell(&mut self, warp: usize, lanes: u32, all: bool) -> Clock {
        let own = &mut self.warps[warp];
        let mut clock = own.clock.clone();
        own.time += 1;
        let mine = entry(&mut clock.known, warp);
        if all {
            mine.all = own.time;
        } else {
            mine.join(Known { all: 0, some: own.time, lanes });
        }
        clock
    }

    /// The warp learns.
    pub fn learn(&mut self, warp: usize, clock: &Clock) {
        let own = &mut self.warps[warp];
        own.clock.join(clock);
        own.copy = None;
    }

    /// The warp has seen phases of a barrier end.
    pub fn saw_phases(&mut self, warp: usize, barrier: usize, phases: u64) {
        let own = &mut self.warps[warp];
        let known = entry(&mut own.clock.known, FIRST_BARRIER + barrier);
        known.all = known.all.max(phases as u32);
        own.copy = None;
    }

    /// A proxy fence by some lanes of the warp.
    pub fn proxy_fence(&mut self, warp: usize, lanes: u32, all: bool) {
        let own = &mut self.warps[warp];
        let known = std::mem::take(&mut own.clock.known);
        join(&mut own.clock.visible, &known);
        own.clock.known = known;
        own.time += 1;
        let seen = entry(&mut own.clock.visible, warp);
        if all {
            seen.all = own.time;
        } else {
            seen.join(Known { all: 0, some: own.time, lanes });
        }
        own.copy = None;
    }

    /// What the warp knows now, its own accesses included, to be looked at later. Later ones are told apart from it.
    pub fn now(&mut self, warp: usize) -> Rc<Clock> {
        let own = &mut self.warps[warp];
        if let Some(copy) = &own.copy {
            return Rc::clone(copy);
        }
        own.time += 1;
        let mut clock = own.clock.clone();
        entry(&mut clock.known, warp).all = own.time;
        let copy = Rc::new(clock);
        own.copy = Some(Rc::clone(&copy));
        copy
    }

    /// The warp has done something that a clock handed out before must not cover.
    #[inline(always)]
    pub fn touched(&mut self, warp: usize) {
        self.warps[warp].copy = None;
    }

    /// `bar.arrive` by a warp.
    pub fn arrive(&mut self, warp: usize, id: usize) {
        let clock = self.tell(warp, !0, true);
        self.told[id].join(&clock);
    }

    /// A barrier lets its warps go. `gone`: those that count because they have ended.
    pub fn barrier(&mut self, id: usize, waiting: &[usize], gone: &[usize]) {
        let mut all = std::mem::take(&mut self.told[id]);
        for &warp in waiting.iter().chain(gone) {
            let clock = self.tell(warp, !0, true);
            all.join(&clock);
        }
        for &warp in waiting {
            self.learn(warp, &all);
        }
    }
}
