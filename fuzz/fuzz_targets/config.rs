//! Any text is a configuration, or an error that names the field.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tercel::Config;

fuzz_target!(|text: &str| {
    match Config::from_toml(text) {
        Ok(config) => {
            // What was understood is written as it was understood.
            let again = toml::to_string(&config).expect("a configuration is TOML");
            assert_eq!(Config::from_toml(&again).expect("its own text is good"), config);
        }
        Err(error) => assert_eq!(error.exit_code(), 2, "{error}"),
    }
});
