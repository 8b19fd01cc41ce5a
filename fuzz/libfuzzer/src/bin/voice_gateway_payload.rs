#![no_main]
parlor_libfuzzer::program!(voice_gateway_payload);
