module github.com/anacrolix/go-libutp

go 1.26.8

require (
	github.com/anacrolix/log v0.17.1-0.20251118025802-918f1157b7bb
	github.com/anacrolix/utp v0.1.0
)
