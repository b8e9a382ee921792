// The Go peer: net/http and nothing else, each event written and flushed as Go programs do it.
package main

import (
	"compress/gzip"
	"fmt"
	"log"
	"math"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

var interval = fromEnvironment()

var event = []byte("data: a short string\n\n")

// Go hides CLOCK_MONOTONIC, which the load generator reads, but time.Since counts on that very
// clock: the difference between the two, taken when nothing came between, holds for good.
var (
	started   = time.Now()
	startedAt = smallestDifference()
)

// How long between two events of a client, or of the publisher.
func fromEnvironment() time.Duration {
	seconds, err := strconv.ParseFloat(os.Getenv("INTERVAL"), 64)
	if err != nil {
		return 50 * time.Millisecond
	}
	return time.Duration(seconds * float64(time.Second))
}

func smallestDifference() int64 {
	smallest := int64(math.MaxInt64)
	for range [1000]struct{}{} {
		since := int64(time.Since(started))
		if difference := monotonic() - since; difference < smallest {
			smallest = difference
		}
	}
	return smallest
}

func monotonic() int64 {
	const clockMonotonic = 1
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

func stamped() []byte {
	now := startedAt + int64(time.Since(started))
	return append(strconv.AppendInt([]byte("data: "), now, 10), "\n\n"...)
}

var symbols = [...]string{"ADIDAS", "ALLIANZ", "BASF", "BAYER", "CONTI", "DAIMLER", "LINDE", "SIEMENS"}

// quoted is JSON of some 200 bytes, the same as the Python servers'.
func quoted() []byte {
	at := startedAt + int64(time.Since(started))
	noise := uint64(at) * 0x9E3779B97F4A7C15 >> 20 & 0xFFFFFFFFFFF
	cents := float64(10_000 + noise%500)
	return []byte(fmt.Sprintf(
		`data: {"t":%d,"symbol":"%s","price":%.2f,"bid":%.2f,"ask":%.2f,"volume":%d,"change":%.2f,`+
			`"currency":"EUR","venue":"XETR","status":"continuous","seller":%d}`+"\n\n",
		at, symbols[noise>>19&7], cents/100, (cents-1)/100, (cents+2)/100, noise>>22&0xFFFF,
		float64(noise>>9%1000)/100, noise>>38&63))
}

// streamCompressed does as stream does, by gzip if the client accepts that, flushed at every event.
func streamCompressed(w http.ResponseWriter, r *http.Request, next func() []byte) {
	if r.Header.Get("Accept-Encoding") != "gzip" {
		stream(w, next)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	compressor := gzip.NewWriter(w)
	stream(compressed{w, compressor}, next)
}

type compressed struct {
	http.ResponseWriter
	compressor *gzip.Writer
}

func (c compressed) Write(block []byte) (int, error) {
	return c.compressor.Write(block)
}

func (c compressed) Flush() {
	c.compressor.Flush()
	c.ResponseWriter.(http.Flusher).Flush()
}

// stream writes what next gives until it gives nil or the client is gone.
func stream(w http.ResponseWriter, next func() []byte) {
	flusher := w.(http.Flusher)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	flusher.Flush()
	for block := next(); block != nil; block = next() {
		if _, err := w.Write(block); err != nil {
			return
		}
		flusher.Flush()
	}
}

func flood(w http.ResponseWriter, _ *http.Request) {
	stream(w, func() []byte { return event })
}

func ticks(w http.ResponseWriter, _ *http.Request) {
	stream(w, func() []byte {
		time.Sleep(interval)
		return stamped()
	})
}

func ticksJSON(w http.ResponseWriter, r *http.Request) {
	streamCompressed(w, r, func() []byte {
		time.Sleep(interval)
		return quoted()
	})
}

func idle(w http.ResponseWriter, r *http.Request) {
	stream(w, func() []byte {
		<-r.Context().Done()
		return nil
	})
}

func crowd(w http.ResponseWriter, r *http.Request) {
	sent := false
	stream(w, func() []byte {
		if !sent {
			sent = true
			return stamped()
		}
		<-r.Context().Done()
		return nil
	})
}

type hub struct {
	sync.Mutex
	members map[chan []byte]bool
}

func (h *hub) publish(made func() []byte) {
	for range time.Tick(interval) {
		block := made()
		h.Lock()
		for member := range h.members {
			select {
			case member <- block:
			default: // a slow client loses the event, as in every server here
			}
		}
		h.Unlock()
	}
}

func (h *hub) fanout(w http.ResponseWriter, r *http.Request) {
	member := make(chan []byte, 256)
	h.Lock()
	h.members[member] = true
	h.Unlock()
	defer func() {
		h.Lock()
		delete(h.members, member)
		h.Unlock()
	}()
	// No select on the request's context: a write to a client that has gone fails soon enough.
	streamCompressed(w, r, func() []byte { return <-member })
}

// pump publishes numbers to all of its members as fast as they take them. Nothing is lost: who is
// slow makes the publisher wait.
type pump struct {
	sync.Mutex
	begin   sync.Once
	members map[chan []byte]<-chan struct{} // the second is closed when the client has gone
}

func (p *pump) publish() {
	for number := int64(1); ; number++ {
		block := append(strconv.AppendInt([]byte("data: "), number, 10), "\n\n"...)
		p.Lock()
		for member, gone := range p.members {
			select {
			case member <- block: // a select of one and a default is three times as fast as of two
			default:
				select {
				case member <- block:
				case <-gone:
				}
			}
		}
		p.Unlock()
	}
}

func (p *pump) subscribe(w http.ResponseWriter, r *http.Request) {
	member := make(chan []byte, 256)
	p.Lock()
	p.members[member] = r.Context().Done()
	p.Unlock()
	defer func() {
		p.Lock()
		delete(p.members, member)
		p.Unlock()
	}()
	p.begin.Do(func() { go p.publish() })
	streamGathered(w, member)
}

// streamGathered flushes when nothing more waits, not at every event: under load many times as fast.
func streamGathered(w http.ResponseWriter, blocks <-chan []byte) {
	flusher := w.(http.Flusher)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	flusher.Flush()
	for block := range blocks {
		if _, err := w.Write(block); err != nil {
			return
		}
		if len(blocks) == 0 {
			flusher.Flush()
		}
	}
}

func main() {
	members := &hub{members: map[chan []byte]bool{}}
	silent := &hub{members: map[chan []byte]bool{}}
	flooded := &pump{members: map[chan []byte]<-chan struct{}{}}
	quotes := &hub{members: map[chan []byte]bool{}}
	go members.publish(stamped)
	go quotes.publish(quoted)
	http.HandleFunc("/flood", flood)
	http.HandleFunc("/ticks", ticks)
	http.HandleFunc("/idle", idle)
	http.HandleFunc("/crowd", crowd)
	http.HandleFunc("/fanout", members.fanout)
	http.HandleFunc("/topic", members.fanout)
	http.HandleFunc("/topic-json", quotes.fanout)
	http.HandleFunc("/ticks-json", ticksJSON)
	http.HandleFunc("/topic-flood", flooded.subscribe)
	http.HandleFunc("/topic-idle", silent.fanout)
	address := "127.0.0.1:" + os.Args[1]
	if len(os.Args) > 3 { // HTTP/2 where the client offers it
		log.Fatal(http.ListenAndServeTLS(address, os.Args[2], os.Args[3], nil))
	}
	log.Fatal(http.ListenAndServe(address, nil))
}
