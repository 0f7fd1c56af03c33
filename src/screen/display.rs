//! What becomes of the program when the X server goes away.
//!
//! Xlib then ends the whole process, by `exit`, from within whichever call noticed, unless its handler does not return.
//! A car must go on without its display, so the handler says what happened and holds its thread for good.

use std::os::raw::c_int;
use std::sync::OnceLock;

use x11_dl::xlib::{Display, Xlib};

type Lost = Box<dyn Fn() + Send + Sync>;

static LOST: OnceLock<Lost> = OnceLock::new();

/// Calls `lost` when the X server has gone; the thread that noticed, which is the window's, never goes on. The first call
/// counts. Where there is no X11, nothing happens: other displays end the window's loop with an error.
pub(super) fn outlive(lost: Lost) {
    static XLIB: OnceLock<Option<Xlib>> = OnceLock::new();
    let Some(xlib) = XLIB.get_or_init(|| Xlib::open().ok()) else { return };
    if LOST.set(lost).is_ok() {
        // Safety: the function is one of the library's, which `XLIB` keeps loaded; it stores a pointer to a function that
        // lives as long as the program and never unwinds.
        unsafe { (xlib.XSetIOErrorHandler)(Some(gone)) };
    }
}

unsafe extern "C" fn gone(_: *mut Display) -> c_int {
    if let Some(lost) = LOST.get() {
        lost();
    }
    loop {
        std::thread::park();
    }
}
