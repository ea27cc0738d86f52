// Reads HTTP messages as Go's net/http does, to be compared with another reader.
//
// On standard input come cases: a byte that says what it is (Q a stream of requests, S a response, H a response to HEAD), four
// bytes of length, big-endian, and the bytes of the wire. Each is answered by a line of JSON: the bodies of the messages that
// are complete, in base64, and how the reading ended.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
)

type answer struct {
	Bodies [][]byte `json:"bodies"`
	Ended  string   `json:"ended"`
}

func main() {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		kind, err := in.ReadByte()
		if err != nil {
			return
		}
		var size uint32
		if err := binary.Read(in, binary.BigEndian, &size); err != nil {
			return
		}
		wire := make([]byte, size)
		if _, err := io.ReadFull(in, wire); err != nil {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(wire))
		if kind == 'Q' {
			out.Encode(requests(reader))
		} else {
			out.Encode(response(reader, kind == 'H'))
		}
	}
}

func requests(reader *bufio.Reader) answer {
	bodies := [][]byte{}
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return answer{bodies, ended(err)}
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return answer{bodies, ended(err)}
		}
		bodies = append(bodies, body)
		if request.Close {
			return answer{bodies, "closed"}
		}
	}
}

func response(reader *bufio.Reader, head bool) answer {
	request := &http.Request{Method: "GET"}
	if head {
		request.Method = "HEAD"
	}
	for {
		response, err := http.ReadResponse(reader, request)
		if err != nil {
			return answer{[][]byte{}, ended(err)}
		}
		if response.StatusCode < 200 && response.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return answer{[][]byte{}, ended(err)}
		}
		return answer{[][]byte{body}, "closed"}
	}
}

func ended(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "incomplete"
	}
	return "refused"
}
