# shellcheck shell=sh
# Sourced by the scripts that run a command beside an emulator.
#
# start_emulator NAME COUNT LOG starts an emulator that listens on COUNT ports, and waits until it answers. The script has the
# functions `launch PORT…`, which becomes the emulator, and `answers PORT…`; both may use $folder, which goes away at the end. A port
# is free when it is chosen, and another process can take it before the emulator does: an emulator that ends is started again with
# others. $ports are those that it has. Without LOG, what it said is shown only if it does not start.

start_emulator() {
    name=$1 folder=$(mktemp -d) emulator=
    log=${3:-$folder/log}
    trap 'stop_emulator; rm -rf "$folder"' EXIT INT TERM
    for attempt in 1 2 3; do
        ports=$(python3 -c 'import socket, sys
s = [socket.socket() for _ in range(int(sys.argv[1]))]
[one.bind(("127.0.0.1", 0)) for one in s]
print(*[one.getsockname()[1] for one in s])' "$2")
        # shellcheck disable=SC2086 # several ports
        launch $ports >"$log" 2>&1 &
        emulator=$! tries=0
        while kill -0 "$emulator" 2>/dev/null && [ "$tries" -lt 960 ]; do
            # shellcheck disable=SC2086
            if answers $ports; then return 0; fi
            tries=$((tries + 1))
            sleep 0.25
        done
        stop_emulator
        echo "$name: the emulator did not start (attempt $attempt of 3):" >&2
        tail -n 20 "$log" >&2
    done
    exit 1
}

stop_emulator() {
    [ -n "$emulator" ] || return 0
    # a launcher can be a shell that started the emulator: end both
    pkill -TERM -P "$emulator" 2>/dev/null || true
    kill "$emulator" 2>/dev/null || true
    wait "$emulator" 2>/dev/null || true
}

# Whether that URL is answered without an error.
answered() {
    curl --silent --fail --output /dev/null "$1"
}
