//! Compiles the schemas that the program is built from: the wire format, and the screens.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    wire()?;
    screens()
}

/// `src/sync/wire.proto` to Rust; protox stands in for the protoc program, so that nothing has to be installed.
fn wire() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/sync/wire.proto");
    let files = protox::compile(["src/sync/wire.proto"], ["src/sync"])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}

/// `ui/app.slint` to Rust. Style and fonts are fixed, so that the screens look the same wherever they are built and run.
#[cfg(feature = "vehicle")]
fn screens() -> Result<(), Box<dyn Error>> {
    let configuration = slint_build::CompilerConfiguration::new()
        .with_style("fluent".into())
        .embed_resources(slint_build::EmbedResourcesKind::EmbedFiles);
    Ok(slint_build::compile_with_config("ui/app.slint", configuration)?)
}

#[cfg(not(feature = "vehicle"))]
fn screens() -> Result<(), Box<dyn Error>> {
    Ok(())
}
