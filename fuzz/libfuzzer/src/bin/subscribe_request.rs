#![no_main]
parlor_libfuzzer::program!(subscribe_request);
