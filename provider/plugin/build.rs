//! Compiles the protocol descriptions in `proto/` without needing `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["tfplugin6.proto", "go_plugin.proto"], ["proto"])?;
    // Calls that we leave out return "unimplemented", which hosts treat as "not offered".
    tonic_prost_build::configure()
        .generate_default_stubs(true)
        .build_client(std::env::var_os("CARGO_FEATURE_DRIVER").is_some())
        .compile_fds(descriptors)?;
    Ok(())
}
