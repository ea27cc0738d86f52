// The other side of the gateway's benchmark: an origin that answers 1 KB, and Go's own reverse proxy to compare with.
//
//	peers origin ADDRESS
//	peers proxy ADDRESS ORIGIN
package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"time"
)

func origin(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/upload":
		n, _ := io.Copy(io.Discard, r.Body)
		w.Write([]byte(strconv.FormatInt(n, 10)))
	case "/download":
		size, _ := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		block := bytes.Repeat([]byte("x"), 1<<16)
		for size > 0 {
			part := min(size, int64(len(block)))
			w.Write(block[:part])
			size -= part
		}
	case "/work":
		// Says when it began and ended, so that the gap between two requests can be seen.
		io.Copy(io.Discard, r.Body)
		begun := time.Now().UnixNano()
		time.Sleep(20 * time.Millisecond)
		w.Write([]byte(strconv.FormatInt(begun, 10) + " " + strconv.FormatInt(time.Now().UnixNano(), 10)))
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(page)
	}
}

var page = bytes.Repeat([]byte("x"), 1024)

func main() {
	if os.Args[1] == "origin" {
		log.Fatal(http.ListenAndServe(os.Args[2], http.HandlerFunc(origin)))
	}
	runtime.GOMAXPROCS(1)
	target, err := url.Parse("http://" + os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	log.Fatal(http.ListenAndServe(os.Args[2], proxy))
}
