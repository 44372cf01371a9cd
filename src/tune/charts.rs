//! The page's drawings, as SVG.

use std::fmt::Write as _;

use super::html::{escaped, short};
use super::state::{SearchState, Trial};

const WIDTH: f64 = 1060.0;
const HEIGHT: f64 = 320.0;
/// Room for the numbers.
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 28.0;
const TOP: f64 = 12.0;

/// From a number to a place in the drawing.
struct AxisScale {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl AxisScale {
    fn of(values: impl Iterator<Item = f64>, start: f64, end: f64) -> AxisScale {
        let ends = values.filter(|value| value.is_finite()).fold(None, |ends: Option<(f64, f64)>, value| {
            Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        let (from, to) = ends.unwrap_or((0.0, 1.0));
        let (from, to) = if to > from { (from, to) } else { (from - 0.5, to + 0.5) };
        AxisScale { from, to, start, end }
    }

    fn at(&self, value: f64) -> f64 {
        self.start + (value - self.from) / (self.to - self.from) * (self.end - self.start)
    }

    /// Round numbers between its ends.
    fn ticks(&self) -> Vec<f64> {
        let step = 10f64.powf(((self.to - self.from) / 4.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * step).into_iter().find(|s| (self.to - self.from) / s <= 6.0);
        let step = step.unwrap_or(1.0);
        let first = (self.from / step).ceil() as i64;
        (first..).map(|n| n as f64 * step).take_while(|tick| *tick <= self.to + step * 1e-9).take(12).collect()
    }
}

/// What a trial is drawn as.
fn class(at: usize, winner: usize, good: bool) -> &'static str {
    match at {
        _ if at == winner => "best",
        0 => "defaults",
        _ if good => "good",
        _ => "",
    }
}

/// The trials that are drawn, those that matter last, on top of the others.
fn in_order(state: &SearchState, winner: usize) -> Vec<(usize, &Trial)> {
    let mut order: Vec<(usize, &Trial)> = state.trials.iter().enumerate().collect();
    order.sort_by_key(|(at, trial)| (*at == winner, *at == 0, trial.figures.len()));
    order
}

fn polyline(svg: &mut String, class: &str, points: &[(f64, f64)]) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(svg, "<polyline class=\"line {class}\" points=\"{}\"/>", points.join(" "));
}

fn dot(svg: &mut String, class: &str, x: f64, y: f64, radius: f64) {
    let _ = writeln!(svg, "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>");
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(words));
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(svg, "<line class=\"axis\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

fn svg(height: f64, label: &str, body: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n{body}</svg>\n", escaped(label))
}

/// A number as an axis shows it.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// Figure by epochs, a line a trial.
pub(super) fn curves(state: &SearchState, winner: usize) -> String {
    let figures = || state.trials.iter().flat_map(|trial| &trial.figures);
    let x = AxisScale::of(figures().map(|at| at.epochs as f64).chain([0.0]), LEFT, WIDTH - 10.0);
    let y = AxisScale::of(figures().map(|at| at.value), HEIGHT - BOTTOM, TOP);
    let mut body = String::new();
    for tick in y.ticks() {
        rule(&mut body, (LEFT, y.at(tick)), (WIDTH - 10.0, y.at(tick)));
        text(&mut body, LEFT - 8.0, y.at(tick) + 4.0, "end", &number(tick));
    }
    for tick in x.ticks() {
        text(&mut body, x.at(tick), HEIGHT - 8.0, "middle", &number(tick));
    }
    for (at, trial) in in_order(state, winner) {
        let class = class(at, winner, false);
        let points: Vec<(f64, f64)> =
            trial.figures.iter().map(|figure| (x.at(figure.epochs as f64), y.at(figure.value))).collect();
        polyline(&mut body, class, &points);
        points.iter().for_each(|&(x, y)| dot(&mut body, class, x, y, 3.0));
    }
    svg(HEIGHT, "metric by epochs", &body)
}

/// Parallel coordinates: an axis a setting, and the last figure at the end.
pub(super) fn parallel(state: &SearchState, winner: usize) -> String {
    let axes = &state.asked.space.0;
    let gap = (WIDTH - 2.0 * LEFT) / axes.len().max(1) as f64;
    let (top, bottom) = (54.0, HEIGHT - 24.0);
    let last = |trial: &Trial| trial.last().map(|figure| figure.value);
    let end = AxisScale::of(state.trials.iter().filter_map(last), bottom, top);
    let place = |number: usize, share: f64| (LEFT + gap * number as f64, bottom + (top - bottom) * share);
    let mut order: Vec<usize> = (0..state.trials.len()).filter(|&at| last(&state.trials[at]).is_some()).collect();
    order.sort_by(|&a, &b| {
        let value = |at: usize| (state.trials[at].figures.len(), last(&state.trials[at]).unwrap_or(f64::NAN));
        let (a, b) = (value(a), value(b));
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    let good = &order[..order.len().div_ceil(3)];
    let mut body = String::new();
    for (number, (key, axis)) in axes.iter().enumerate() {
        let (x, _) = place(number, 0.0);
        rule(&mut body, (x, top), (x, bottom));
        text(&mut body, x, if number % 2 == 0 { 12.0 } else { 28.0 }, "middle", short(key));
        let ends = match axis {
            super::Axis::Choices(choices) => (choices.first().cloned(), choices.last().cloned()),
            super::Axis::Range(range) => (Some(range.from.into()), Some(range.to.into())),
        };
        for (value, y) in [(ends.0, bottom + 16.0), (ends.1, top - 4.0)] {
            text(
                &mut body,
                x + 4.0,
                y,
                "start",
                &value.map_or(String::new(), |value: serde_json::Value| value.to_string()),
            );
        }
    }
    let (x, _) = place(axes.len(), 0.0);
    rule(&mut body, (x, top), (x, bottom));
    text(&mut body, x, 12.0, "middle", &state.asked.metric);
    text(&mut body, x + 4.0, bottom + 16.0, "start", &number(end.from));
    text(&mut body, x + 4.0, top - 4.0, "start", &number(end.to));
    for (at, trial) in in_order(state, winner) {
        let Some(value) = last(trial) else { continue };
        let mut points = Vec::new();
        for (number, (key, axis)) in axes.iter().enumerate() {
            let Some(found) = trial.chosen.get(key).and_then(|value| axis.place(value)) else { continue };
            let share = match axis {
                super::Axis::Choices(choices) => (found + 0.5) / choices.len() as f64,
                super::Axis::Range(_) => found,
            };
            points.push(place(number, share));
        }
        points.push((x, end.at(value)));
        polyline(&mut body, class(at, winner, good.contains(&at)), &points);
    }
    svg(HEIGHT, "settings and last metric value of each trial", &body)
}

/// The first rung's figures by the value of a setting: small, for a table's cell.
pub(super) fn strip(state: &SearchState, key: &str, winner: usize) -> String {
    let Some(axis) = state.asked.space.0.get(key) else { return String::new() };
    let points: Vec<(usize, f64, f64)> = state
        .trials
        .iter()
        .enumerate()
        .filter_map(|(at, trial)| Some((at, axis.place(trial.chosen.get(key)?)?, trial.value_at(0)?)))
        .collect();
    let x = AxisScale::of(points.iter().map(|point| point.1), 6.0, 214.0);
    let y = AxisScale::of(points.iter().map(|point| point.2), 40.0, 5.0);
    let mut body = String::new();
    for (at, place, value) in points {
        dot(&mut body, class(at, winner, false), x.at(place), y.at(value), 3.0);
    }
    format!(
        "<svg viewBox=\"0 0 220 46\" style=\"width:220px\" role=\"img\" aria-label=\"figure by {}\">{body}</svg>",
        escaped(key)
    )
}
