//! Compiles what the program is built from: the wire format, the screens, and the index of the voice's clips.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    wire()?;
    voice()?;
    screens()
}

/// `src/sync/wire.proto` and `enrol.proto` to Rust; protox stands in for the protoc program, so that nothing has to be installed.
fn wire() -> Result<(), Box<dyn Error>> {
    let schemas = ["src/sync/wire.proto", "src/sync/enrol.proto"];
    schemas.iter().for_each(|schema| println!("cargo::rerun-if-changed={schema}"));
    let files = protox::compile(schemas, ["src/sync"])?;
    // What holds a secret does not print it.
    prost_build::Config::new().skip_debug([".outrider.enrol.v1.Request"]).compile_fds(files)?;
    Ok(())
}

/// The clips of `vehicle-config/voice` as a table of names and files, so that a word is added by adding its clip.
#[cfg(feature = "vehicle")]
fn voice() -> Result<(), Box<dyn Error>> {
    use std::path::Path;
    let folder = "vehicle-config/voice/clips";
    println!("cargo::rerun-if-changed={folder}");
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|end| end == "ogg") {
            names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    names.sort();
    let root = std::env::var("CARGO_MANIFEST_DIR")?;
    let row = |name: &String| format!("    ({name:?}, include_bytes!({:?})),\n", format!("{root}/{folder}/{name}.ogg"));
    let rows: String = names.iter().map(row).collect();
    let table = format!("pub(super) const CLIPS: &[(&str, &[u8])] = &[\n{rows}];\n");
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("voice.rs"), table)?;
    Ok(())
}

#[cfg(not(feature = "vehicle"))]
fn voice() -> Result<(), Box<dyn Error>> {
    Ok(())
}

/// `ui/app.slint` to Rust. Style and fonts are fixed, so that the screens look the same wherever they are built and run.
#[cfg(feature = "vehicle")]
fn screens() -> Result<(), Box<dyn Error>> {
    let configuration = slint_build::CompilerConfiguration::new()
        .with_style("fluent".into())
        .embed_resources(slint_build::EmbedResourcesKind::EmbedFiles)
        // Tests find elements by what they are called.
        .with_debug_info(true);
    Ok(slint_build::compile_with_config("ui/app.slint", configuration)?)
}

#[cfg(not(feature = "vehicle"))]
fn screens() -> Result<(), Box<dyn Error>> {
    Ok(())
}
