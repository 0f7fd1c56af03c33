//! The back office's program: arguments in, exit code out.

fn main() -> std::process::ExitCode {
    outrider::cli::office()
}
