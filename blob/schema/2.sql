ALTER TABLE part ADD COLUMN loose BLOB; -- groups that are durably there, without a proof; NULL: none
