#![no_main]
parlor_libfuzzer::program!(grpc_web_body);
