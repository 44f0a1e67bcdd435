module github.com/anacrolix/go-utp

go 1.26.8

require github.com/anacrolix/utp v0.1.0
