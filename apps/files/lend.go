package files

import (
	"bytes"
	"context"
	"fmt"

	"kith"
	"kith/blob/seal"
	"kith/transfer"
)

// Lend shares a path for the person's contacts, encrypted with key, for another application: until Forget. What was lent with the same key
// before is returned as it is.
func (f *Files) Lend(ctx context.Context, path string, key [32]byte, tell func(done, total int64)) (ref kith.Ref, name string, size int64, files int, err error) {
	for _, it := range f.all() {
		if it.Kind == kindShare && bytes.Equal(it.Key, key[:]) {
			return it.Ref, it.Name, it.Size, it.Files, nil
		}
	}
	in := ShareIn{Paths: []string{path}, For: forContacts, Private: true}
	if _, _, err := f.checkShare(in); err != nil {
		return ref, "", 0, 0, err
	}
	sealed := seal.Key(key)
	out, err := f.shareOne(ctx, path, in, &sealed, func(p ShareOut) bool {
		tell(p.Done, p.Total)
		return true
	})
	return out.Ref, out.Name, out.Size, out.Files, err
}

// Lent returns the link of what is lent. It is Gone if the files have changed since, and NotFound if it is not shared any more.
func (f *Files) Lent(ref kith.Ref) (kith.Link, error) {
	it, ok := f.byRef(ref)
	switch {
	case !ok:
		return kith.Link{}, fmt.Errorf("files: it was taken off the list of what is shared: %w", kith.NotFound)
	case it.State == stateGone:
		return kith.Link{}, fmt.Errorf("files: %s: %w", it.Reason, kith.Gone)
	}
	return f.link(it), nil
}

// Fetch begins to fetch what a link names, or goes on with it, and does not wait. output is as in GetIn. began is false if it was on the list of
// items before: then it is whose who put it there.
func (f *Files) Fetch(ctx context.Context, link, output string) (began bool, err error) {
	l, err := kith.ParseLink(link)
	if err != nil {
		return false, err
	}
	_, known := f.byRef(l.Ref)
	if known { // where it was begun
		output = ""
	}
	_, _, err = f.want(ctx, GetIn{Link: link, Output: output, Detach: true})
	return !known && err == nil, err
}

// Fetched returns how the download of ref stands; ok is false if there is none.
func (f *Files) Fetched(ref kith.Ref) (s transfer.Status, ok bool) {
	it, ok := f.byRef(ref)
	if !ok {
		return transfer.Status{}, false
	}
	got := f.got(it)
	s = transfer.Status{Root: ref, State: transfer.State(got.State), Reason: got.Reason, Name: got.Name, Path: got.Path, Size: got.Size, Done: got.Done, Rate: got.Rate}
	if it.State == stateGone || it.State == stateReady { // it was here, and is a person's own
		s.State = transfer.Done
	}
	if it.dl != nil && s.State != transfer.Done {
		s.Err = it.dl.Status().Err
	}
	return s, true
}

// Forget stops sharing what is lent, and gives up a download with what has come of it. A download that is complete stays.
func (f *Files) Forget(ctx context.Context, ref kith.Ref) error {
	it, ok := f.byRef(ref)
	if !ok || it.Kind == kindDownload && (it.State == stateDone || it.State == stateGone) {
		return nil
	}
	_, err := f.rm(ctx, RmIn{Ref: ref.String(), Delete: it.Kind == kindDownload})
	return err
}
