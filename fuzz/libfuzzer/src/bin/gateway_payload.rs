#![no_main]
parlor_libfuzzer::program!(gateway_payload);
