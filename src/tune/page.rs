//! The page of a search: what won, how the trials went, and what each setting was worth. It needs nothing but itself.

use std::fmt::{self, Write as _};

use super::charts::{curves, parallel, strip};
use super::html::{escaped, short, written};
use super::state::{SearchState, Trial};
use super::worth::worth;

/// What stands on the page beside the trials.
pub(super) struct Facts<'a> {
    pub(super) dataset: String,
    pub(super) validation: &'a str,
    pub(super) users: usize,
    pub(super) winner: usize,
}

/// The page as HTML.
pub(super) fn page(state: &SearchState, facts: &Facts<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_page(&mut text, state, facts);
    text
}

fn write_page(out: &mut String, state: &SearchState, facts: &Facts<'_>) -> fmt::Result {
    let metric = escaped(&state.asked.metric);
    let dataset = escaped(&facts.dataset);
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(
        out,
        "<title>Settings for {dataset}</title>\n<style>{}</style>\n</head>\n<body>",
        include_str!("page.css")
    )?;
    writeln!(out, "<header>\n<h1>Settings for {dataset}</h1>")?;
    writeln!(
        out,
        "<p class=\"quiet\">{} trials, scored by {metric} over {} users on {}.</p>\n</header>\n<main>",
        state.trials.len(),
        facts.users,
        escaped(facts.validation),
    )?;
    winner(out, state, facts)?;
    section(out, "How the trials went", |out| {
        out.push_str(&curves(state, facts.winner));
        figcaption(
            out,
            "Each line is a trial: its metric at the epochs where it was evaluated. The best quarter of each rung continues. \
             Dashed: the defaults. Blue: the winner.",
        )
    })?;
    section(out, "What the trials tried", |out| {
        out.push_str(&parallel(state, facts.winner));
        figcaption(
            out,
            "Each line is a trial: its value of each setting, and its last metric value. Green: the best third.",
        )
    })?;
    section(out, "What each setting was worth", |out| settings(out, state, facts.winner))?;
    section(out, "The trials", |out| trials(out, state, facts.winner))?;
    writeln!(out, "</main>\n</body>\n</html>")
}

fn section(out: &mut String, title: &str, body: impl FnOnce(&mut String) -> fmt::Result) -> fmt::Result {
    writeln!(out, "<section>\n<h2>{title}</h2>\n<figure>")?;
    body(out)?;
    writeln!(out, "</figure>\n</section>")
}

fn figcaption(out: &mut String, words: &str) -> fmt::Result {
    writeln!(out, "<figcaption>{words}</figcaption>")
}

fn winner(out: &mut String, state: &SearchState, facts: &Facts<'_>) -> fmt::Result {
    let trial = &state.trials[facts.winner];
    writeln!(out, "<section>\n<h2>What won</h2>")?;
    if let Some(figure) = trial.last() {
        let [low, high] = figure.interval;
        write!(
            out,
            "<p>Trial {}: <span class=\"winner\">{:.4}</span> ({low:.4} to {high:.4})",
            facts.winner, figure.value
        )?;
        let defaults = state.trials[0].figures.get(trial.figures.len() - 1);
        match (facts.winner, defaults, figure.gain) {
            (0, ..) => write!(out, ": no settings beat the defaults")?,
            (_, Some(defaults), Some([gain, low, high])) => write!(
                out,
                "; defaults: {:.4}. Paired difference over users: {gain:+.4} ({low:+.4} to {high:+.4})",
                defaults.value
            )?,
            _ => {}
        }
        writeln!(out, ".</p>")?;
    }
    if let Some(rung) = state.cut {
        writeln!(out, "<p>Time was up after rung {}: no trial was trained to its end.</p>", rung + 1)?;
    }
    writeln!(
        out,
        "<p class=\"quiet\">The figure of the best of many is a little too good: it was chosen by these rows. What it is worth \
         on rows that nobody has looked at, <code>tercel evaluate</code> says of the test split. Intervals are 95 % bootstraps \
         over users.</p>\n</section>"
    )
}

fn settings(out: &mut String, state: &SearchState, winner: usize) -> fmt::Result {
    writeln!(
        out,
        "<div class=\"scroll\"><table>\n<tr><th>setting</th><th class=\"num\">explains</th><th>of the variance in the first rung</th><th>defaults</th><th>winner</th><th>metric by value</th></tr>"
    )?;
    for worth in worth(state) {
        let shown = |trial: usize| state.trials[trial].chosen.get(&worth.key).map_or(String::new(), written);
        let width = (160.0 * worth.share).max(1.0);
        writeln!(
            out,
            "<tr><td>{}</td><td class=\"num\">{:.0} %</td><td><svg viewBox=\"0 0 160 12\" style=\"width:160px\"><rect class=\"share\" width=\"{width:.0}\" height=\"12\"/></svg></td><td>{}</td><td class=\"winner\">{}</td><td>{}</td></tr>",
            escaped(&worth.key),
            100.0 * worth.share,
            shown(0),
            shown(winner),
            strip(state, &worth.key, winner),
        )?;
    }
    writeln!(out, "</table></div>")
}

fn trials(out: &mut String, state: &SearchState, winner: usize) -> fmt::Result {
    let keys: Vec<&String> = state.asked.space.0.keys().collect();
    write!(
        out,
        "<div class=\"scroll\"><table>\n<tr><th>trial</th><th></th><th class=\"num\">epochs</th><th class=\"num\">{}</th><th class=\"num\">vs. defaults</th>",
        escaped(&state.asked.metric)
    )?;
    keys.iter().try_for_each(|key| write!(out, "<th>{}</th>", escaped(short(key))))?;
    writeln!(out, "</tr>")?;
    let mut order: Vec<usize> = (0..state.trials.len()).collect();
    let rank = |trial: &Trial| (trial.figures.len(), trial.last().map_or(f64::NEG_INFINITY, |figure| figure.value));
    order.sort_by(|&a, &b| {
        let (a, b) = (rank(&state.trials[a]), rank(&state.trials[b]));
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    for at in order {
        let trial = &state.trials[at];
        let (epochs, value, gain) = match trial.last() {
            Some(figure) => (
                figure.epochs.to_string(),
                format!("{:.4}", figure.value),
                figure.gain.map_or(String::new(), |[gain, low, high]| format!("{gain:+.4} ({low:+.4} to {high:+.4})")),
            ),
            None => Default::default(),
        };
        let what = match (&trial.failed, at) {
            (Some(reason), _) => format!("failed: {}", escaped(reason)),
            (None, 0) => format!("defaults, {}", state.status(at, winner)),
            (None, _) => state.status(at, winner).to_owned(),
        };
        write!(
            out,
            "<tr{}><td>{at}</td><td>{what}</td><td class=\"num\">{epochs}</td><td class=\"num\">{value}</td><td class=\"num nowrap\">{gain}</td>",
            if at == winner { " class=\"winner\"" } else { "" }
        )?;
        keys.iter()
            .try_for_each(|key| write!(out, "<td>{}</td>", trial.chosen.get(*key).map_or(String::new(), written)))?;
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</table></div>")
}
