//! Which settings a text sets.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Table;

/// The keys of the settings of `T` that are in a file's contents, whatever their values: a setting that is given its
/// default is given.
#[must_use]
pub fn said<T: Table>(contents: &Value) -> BTreeSet<String> {
    let given = |key: &str| key.split('.').try_fold(contents, |table, name| table.get(name)).is_some();
    let settings = T::settings();
    let keys = settings.iter().filter(|setting| setting.is_key()).map(|setting| setting.key());
    keys.filter(|key| given(key)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Config;

    #[test]
    fn what_is_given_its_default_is_given() {
        let text = "[train]\nseed = 0\n[model.user]\nmlp = []\n[evaluate]\nk = [5]";
        let contents: Value = toml::from_str(text).unwrap();
        let keys: Vec<String> = said::<Config>(&contents).into_iter().collect();
        assert_eq!(keys, ["model.user.mlp", "train.seed"]);
        assert!(said::<Config>(&Value::Null).is_empty());
    }
}
