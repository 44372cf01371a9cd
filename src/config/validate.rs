//! Which settings can be used, alone and together.

use super::{Combine, Config, FeatureSelection, LogQ};
use crate::{Error, Result};

impl Config {
    /// Checks every field, alone and with the others.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that cannot be used.
    pub fn validate(&self) -> Result<()> {
        let bad = |field: &str, reason: String| Err(Error::config(field, reason));
        let (m, o, t) = (&self.model, &self.optimizer, &self.train);
        if m.dim == 0 || m.dim > 1024 || m.dim % 4 != 0 {
            return bad("model.dim", format!("{} is not a multiple of 4 from 4 to 1024", m.dim));
        }
        if !(m.temperature.is_finite() && m.temperature >= 1e-4) {
            return bad("model.temperature", format!("{} is not a number from 0.0001 up", m.temperature));
        }
        let popularity = m.popularity.unwrap_or_default();
        if !(0.0..=1.0).contains(&popularity) {
            return bad("model.popularity", format!("{popularity} is not a number from 0 to 1"));
        }
        if popularity > 0.0 && self.loss.logq == LogQ::Corrected {
            return bad(
                "model.popularity",
                "cannot go with loss.logq = \"corrected\"; set it to 0, or logq to \"exact\"".into(),
            );
        }
        if !(m.init_std.is_finite() && m.init_std >= 0.0) {
            return bad("model.init_std", format!("{} is not a number from 0 up", m.init_std));
        }
        for (name, tower) in [("user", &m.user), ("item", &m.item)] {
            if name == "item" && tower.history > 0 {
                return bad("model.item.history", "only the user tower has a history".into());
            }
            if tower.history > 1024 {
                return bad("model.user.history", format!("{} is more than 1024 items", tower.history));
            }
            let nothing = matches!(&tower.features, FeatureSelection::None)
                || matches!(&tower.features, FeatureSelection::Named(names) if names.is_empty());
            if !tower.id && tower.history == 0 && nothing {
                return bad(&format!("model.{name}"), "the tower reads nothing: set id, features or history".into());
            }
            if let Some(dim) = tower.feature_dim {
                if dim == 0 || dim > 1024 || dim % 4 != 0 {
                    return bad(
                        &format!("model.{name}.feature_dim"),
                        format!("{dim} is not a multiple of 4 from 4 to 1024"),
                    );
                }
                if tower.combine == Combine::Sum {
                    return bad(&format!("model.{name}.feature_dim"), "goes with combine = \"concat\"".into());
                }
            }
            if tower.mlp.iter().any(|&h| h == 0 || h > 8192 || h % 4 != 0) {
                return bad(&format!("model.{name}.mlp"), "widths are multiples of 4 from 4 to 8192".into());
            }
        }
        if m.user.history > 0 && !m.item.id {
            return bad("model.user.history", "pools the item id table: set model.item.id".into());
        }
        if !(o.lr.is_finite() && o.lr > 0.0) {
            return bad("optimizer.lr", format!("{} is not a number above 0", o.lr));
        }
        for (name, beta) in [("beta1", o.beta1), ("beta2", o.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return bad(&format!("optimizer.{name}"), format!("{beta} is not in [0, 1)"));
            }
        }
        for (name, value) in [
            ("eps", o.eps),
            ("initial_accumulator", o.initial_accumulator),
            ("weight_decay", o.weight_decay.unwrap_or_default()),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return bad(&format!("optimizer.{name}"), format!("{value} is not a number from 0 up"));
            }
        }
        if o.clip_norm.is_some_and(|c| !(c.is_finite() && c > 0.0)) {
            return bad("optimizer.clip_norm", "is not a number above 0".into());
        }
        if t.epochs == Some(0) {
            return bad("train.epochs", "at least 1".into());
        }
        if t.batch_size == 0 || t.batch_size > 1 << 20 {
            return bad("train.batch_size", format!("{} is not in 1 to 1048576", t.batch_size));
        }
        if t.threads > 4096 {
            return bad("train.threads", format!("{} is more than 4096", t.threads));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_used_and_come_back_from_toml() {
        let config = Config::default();
        config.validate().unwrap();
        assert_eq!(Config::from_toml("").unwrap(), config);
        assert_eq!(Config::from_toml(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn what_is_left_open_is_filled_in_and_nothing_else_changes() {
        let epochs = |rows| Config::default().for_rows(rows).train.epochs;
        assert_eq!(
            [0, 100_000, 2_000_000, 4_000_000, 12_000_000, 1 << 40].map(epochs),
            [30, 30, 30, 15, 5, 5].map(Some)
        );
        let decay = |text| Config::from_toml(text).unwrap().for_rows(1).optimizer.weight_decay;
        assert_eq!(decay(""), Some(2.0));
        assert_eq!(decay("[model]\nnormalize = false"), Some(0.0), "decay would shrink scores");
        assert_eq!(decay("[optimizer]\nname = \"adagrad\""), Some(0.0));
        assert_eq!(decay("[optimizer]\nweight_decay = 0"), Some(0.0));
        let popularity = |text| Config::from_toml(text).unwrap().for_rows(1).model.popularity;
        assert_eq!(popularity(""), Some(0.5));
        assert_eq!(popularity("[loss]\nlogq = \"corrected\""), Some(0.0));
        assert_eq!(popularity("[loss]\nlogq = \"off\""), Some(0.0));
        let chosen = "[model]\npopularity = 0\n[optimizer]\nweight_decay = 0.5\n[train]\nepochs = 7";
        let chosen = Config::from_toml(chosen).unwrap();
        assert_eq!(chosen.for_rows(1 << 40), chosen);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, field) in [
            ("[model]\ndim = 6", "model.dim"),
            ("[model]\ndim = 2048", "model.dim"),
            ("[model]\ntemperature = 0", "model.temperature"),
            ("[model]\ntemperature = nan", "model.temperature"),
            ("[model]\ninit_std = -1", "model.init_std"),
            ("[model]\npopularity = 1.5", "model.popularity"),
            ("[model]\npopularity = nan", "model.popularity"),
            ("[model]\npopularity = 0.5\n[loss]\nlogq = \"corrected\"", "model.popularity"),
            ("[model.item]\nhistory = 3", "model.item.history"),
            ("[model.user]\nhistory = 5000", "model.user.history"),
            ("[model.user]\nid = false\nfeatures = \"none\"", "model.user"),
            ("[model.user]\nfeature_dim = 8", "model.user.feature_dim"),
            ("[model.item]\nmlp = [10]", "model.item.mlp"),
            ("[model]\nuser = { history = 2 }\nitem = { id = false }", "model.user.history"),
            ("[loss]\nnegatives = \"in-batch+uniform:0\"", "loss.negatives"),
            ("[loss]\nlogq = \"sometimes\"", "logq"),
            ("[optimizer]\nlr = 0", "optimizer.lr"),
            ("[optimizer]\nlr = inf", "optimizer.lr"),
            ("[optimizer]\nbeta2 = 1", "optimizer.beta2"),
            ("[optimizer]\nweight_decay = -0.1", "optimizer.weight_decay"),
            ("[optimizer]\nclip_norm = 0", "optimizer.clip_norm"),
            ("[train]\nepochs = 0", "train.epochs"),
            ("[train]\nbatch_size = 0", "train.batch_size"),
            ("[train]\nthreads = 5000", "train.threads"),
            ("[train]\ndevice = \"tpu\"", "device"),
            ("[train]\nearly_stop = \"loss,3\"", "train.early_stop"),
            ("[train]\nbatchsize = 3", "batchsize"),
        ] {
            let error = Config::from_toml(text).unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{error:?}");
            assert!(error.to_string().contains(field), "{text}: {error}");
        }
    }
}
