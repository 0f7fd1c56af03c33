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

/// `ui/app.slint` to Rust. The style is fixed, so that the screens look the same wherever they are built.
#[cfg(feature = "vehicle")]
fn screens() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=ui");
    if std::path::Path::new("ui/app.slint").exists() {
        slint_build::compile_with_config(
            "ui/app.slint",
            slint_build::CompilerConfiguration::new().with_style("fluent".into()),
        )?;
    }
    Ok(())
}

#[cfg(not(feature = "vehicle"))]
fn screens() -> Result<(), Box<dyn Error>> {
    Ok(())
}
