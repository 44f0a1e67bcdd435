-- A blob that is here, or coming: then it has a row in part too.
CREATE TABLE blob (
	id   INTEGER PRIMARY KEY,
	sum  BLOB NOT NULL UNIQUE,
	size INTEGER NOT NULL,
	data BLOB,                     -- its bytes, if they are kept here
	tree BLOB,                     -- its tree, if it is small; otherwise it is in outboard/ (and one group needs none)
	kept INTEGER NOT NULL,         -- bytes that Kith keeps for it, against the quota
	made INTEGER NOT NULL          -- when, in Unix seconds
);
-- Folders that hold files of shares and downloads. 0 is keep/ in the store.
CREATE TABLE folder (
	id   INTEGER PRIMARY KEY,
	path TEXT NOT NULL
);
CREATE INDEX folder_path ON folder(path);
-- Where the bytes of a blob are: one file or several, of which one is enough.
CREATE TABLE place (
	folder INTEGER NOT NULL,
	name   TEXT NOT NULL,          -- within the folder, slash-separated
	blob   INTEGER NOT NULL,
	size   INTEGER NOT NULL,       -- size, mtime, dev, ino: what the file was like when it was read
	mtime  INTEGER NOT NULL,       -- Unix nanoseconds
	dev    INTEGER NOT NULL,
	ino    INTEGER NOT NULL,
	own    INTEGER NOT NULL,       -- Kith made the file
	gone   INTEGER NOT NULL,       -- its owner has changed or removed it
	header BLOB,                   -- the blob is the file sealed with this header
	PRIMARY KEY (folder, name, blob)
) WITHOUT ROWID;
CREATE INDEX place_blob ON place(blob);
-- A download that is not complete.
CREATE TABLE part (
	blob   INTEGER PRIMARY KEY,
	folder INTEGER NOT NULL,
	name   TEXT NOT NULL,          -- the file it is in
	dest   TEXT NOT NULL,          -- what it will be called
	mode   INTEGER NOT NULL,
	ino    INTEGER NOT NULL,       -- of the file it is in
	bits   BLOB NOT NULL,          -- groups that are durably there
	clean  INTEGER NOT NULL        -- bits says all
);
CREATE TABLE tree (
	id       INTEGER PRIMARY KEY,
	root     BLOB NOT NULL UNIQUE,
	codec    INTEGER NOT NULL,
	name     TEXT NOT NULL,
	size     INTEGER NOT NULL,
	files    INTEGER NOT NULL,
	folder   INTEGER NOT NULL,     -- where its files are
	file     TEXT NOT NULL,        -- for a single file its name there
	dest     TEXT NOT NULL,        -- of a download: the path that was asked for
	state    INTEGER NOT NULL,
	private  INTEGER NOT NULL,
	download INTEGER NOT NULL,
	pinned   INTEGER NOT NULL,
	gone     INTEGER NOT NULL
);
CREATE TABLE member (
	tree INTEGER NOT NULL,
	blob INTEGER NOT NULL,
	PRIMARY KEY (tree, blob)
) WITHOUT ROWID;
CREATE INDEX member_blob ON member(blob);
INSERT INTO folder (id, path) VALUES (0, '');
