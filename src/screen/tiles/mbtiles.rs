//! Map tiles in an SQLite database, as the MBTiles specification has it
//! (<https://github.com/mapbox/mbtiles-spec/blob/master/1.3/spec.md>).

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::Archive;

pub(super) struct MbTiles {
    database: Connection,
    zooms: (u32, u32),
}

impl MbTiles {
    /// Opens a file; the error says why it cannot be used.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags).map_err(|error| error.to_string())?;
        let zooms = database
            .query_row("SELECT min(zoom_level), max(zoom_level) FROM tiles", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|error| error.to_string())?;
        let (Some(least), Some(most)) = zooms else { return Err("it has no tiles".to_owned()) };
        let file = Self { database, zooms: (least, most) };
        match file.metadata("format").as_deref() {
            None | Some("png" | "jpg" | "jpeg") => Ok(file),
            Some(other) => Err(format!("its tiles are {other}")),
        }
    }

    fn metadata(&self, name: &str) -> Option<String> {
        let row = self.database.query_row("SELECT value FROM metadata WHERE name = ?1", [name], |row| row.get(0));
        row.optional().ok().flatten()
    }
}

impl Archive for MbTiles {
    fn zooms(&self) -> (u32, u32) {
        self.zooms
    }

    fn credit(&self) -> String {
        self.metadata("attribution").unwrap_or_default()
    }

    fn tile(&mut self, zoom: u32, column: u32, row: u32) -> Option<Vec<u8>> {
        // Rows are counted from the south in such files.
        let row = 1u32.checked_shl(zoom)?.checked_sub(1)?.checked_sub(row)?;
        self.database
            .prepare("SELECT tile_data FROM tiles WHERE zoom_level = ?1 AND tile_column = ?2 AND tile_row = ?3")
            .and_then(|mut query| query.query_row([zoom, column, row], |row| row.get(0)))
            .ok()
    }
}
