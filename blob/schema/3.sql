ALTER TABLE part ADD COLUMN repair INTEGER NOT NULL DEFAULT 0; -- 0: it is a download; 1: it was a file of Kith's, that was damaged; 2: it was somebody's
ALTER TABLE part ADD COLUMN header BLOB;                       -- the file is sealed with this header, and is put back opened
