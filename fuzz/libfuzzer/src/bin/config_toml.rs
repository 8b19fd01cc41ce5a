#![no_main]
parlor_libfuzzer::program!(config_toml);
