// Package media knows what kind of thing a file is by its name, the same on every system: the tables of the systems differ.
package media

import (
	"mime"
	"path"
	"strings"
)

// shown are the types that a browser only shows or plays. Pages, vector images and documents, which can do more, are not among them.
var shown = map[string]string{
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".avif": "image/avif",
	".bmp": "image/bmp", ".ico": "image/x-icon",
	".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/x-matroska",
	".ogv": "video/ogg", ".avi": "video/x-msvideo", ".mpg": "video/mpeg", ".mpeg": "video/mpeg", ".ts": "video/mp2t",
	".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".ogg": "audio/ogg", ".oga": "audio/ogg", ".opus": "audio/ogg",
	".flac": "audio/flac", ".wav": "audio/wav",
	".txt": "text/plain; charset=utf-8", ".md": "text/plain; charset=utf-8", ".log": "text/plain; charset=utf-8", ".srt": "text/plain; charset=utf-8",
}

// Shown returns the MIME type of what a browser only shows or plays; ok is false for anything else.
func Shown(name string) (mediaType string, ok bool) {
	mediaType, ok = shown[strings.ToLower(path.Ext(name))]
	return mediaType, ok
}

// Type returns the MIME type of any file; application/octet-stream if it is not known.
func Type(name string) string {
	if t, ok := Shown(name); ok {
		return t
	}
	if t := mime.TypeByExtension(strings.ToLower(path.Ext(name))); t != "" {
		return t
	}
	return "application/octet-stream"
}
