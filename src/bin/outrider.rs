//! The car's program: arguments in, exit code out.

fn main() -> std::process::ExitCode {
    outrider::cli::car()
}
