#![no_main]
parlor_libfuzzer::program!(jwks);
