#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Install, build and run every test; the last line is `N passed, N failed, N skipped`.
#
#   ./test.sh              gcc, clang, and gcc with ASan and UBSan
#   ./test.sh --quick      gcc only
#   ./test.sh --long       all points of the kill tests and long fuzzing as well
#
# Tests that need vectors read them from the folder that KMS_TESTDATA names and are skipped, and
# counted as skipped, where it is not set.
set -euo pipefail
cd "$(dirname "$0")"

builds=(gcc clang sanitize)
for option in "$@"; do
	case $option in
	--quick) builds=(gcc) ;;
	--long) export KMS_TEST_LONG=1 ;;
	*) sed -n '4,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
done

scripts/install-packages --test

setup() {
	local name=$1 folder=build/test-$1
	[ -d "$folder/meson-info" ] && return
	case $name in
	gcc) CC=gcc meson setup "$folder" ;;
	clang) CC=clang meson setup "$folder" ;;
	sanitize) CC=gcc meson setup "$folder" -Db_sanitize=address,undefined -Db_lundef=false ;;
	esac >/dev/null
}

passed=0 failed=0 skipped=0
for name in "${builds[@]}"; do
	echo "== $name: build"
	setup "$name"
	ninja -C "build/test-$name" --quiet
	echo "== $name: test"
	log=build/test-$name/meson-logs/testlog.json
	rm -f "$log"
	# More at once than there are processors: flow tests wait much of their time.
	meson test -C "build/test-$name" --no-rebuild --print-errorlogs \
		--num-processes $((3 * $(nproc))) || true
	read -r p f s < <(/usr/bin/python3 - "$log" <<-'PY'
		import json, sys
		counts = {"OK": 0, "EXPECTEDFAIL": 0, "SKIP": 0}
		failed = 0
		for line in open(sys.argv[1]):
		    result = json.loads(line)["result"]
		    if result in counts:
		        counts[result] += 1
		    else:
		        failed += 1
		print(counts["OK"] + counts["EXPECTEDFAIL"], failed, counts["SKIP"])
	PY
	)
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
