# Sets up what this bundle holds. Unpack the bundle first (tar -xf), then:
#
#   .\setup.ps1            install it into Forebay's store, if Forebay is here; else as below, into .\files
#   .\setup.ps1 FOLDER     lay out its files in FOLDER, with nothing but PowerShell and zstd.exe
#
# Run again, it goes on where it stopped.
param([string]$Folder = "")

$ErrorActionPreference = "Stop"
$here = Split-Path -Parent $MyInvocation.MyCommand.Path
if ($Folder -eq "" -and (Get-Command forebay -ErrorAction SilentlyContinue)) {
    & forebay bundle install $here
    exit $LASTEXITCODE
}
if ($Folder -eq "") { $Folder = Join-Path $here "files" }
$part = Join-Path $Folder ".part"  # not beside the file: its name may be as long as names can be
$done = 0
$missing = 0
foreach ($line in [System.IO.File]::ReadAllLines((Join-Path $here "FILES.tsv"))) {
    $digest, $path = $line.Split("`t", 2)
    if ($path -eq "" -or $path -match '(^|/)\.\.(/|$)' -or $path -match '^/' -or $path -match '[:\\]') {
        Write-Error "setup: refused: $path leads elsewhere"
        exit 1
    }
    $from = Join-Path $here ("objects/" + $digest.Substring(0, 2) + "/" + $digest.Substring(2))
    $to = Join-Path $Folder $path
    if (Test-Path -LiteralPath $to) { $done++; continue }
    if (-not (Test-Path -LiteralPath $from) -and -not (Test-Path -LiteralPath "$from.zst")) { $missing++; continue }
    New-Item -ItemType Directory -Force -Path (Split-Path -Parent $to) | Out-Null
    if (Test-Path -LiteralPath $from) {
        Copy-Item -Force -LiteralPath $from -Destination $part
    } else {
        & zstd -q -d -f -o $part "$from.zst"
        if ($LASTEXITCODE -ne 0) { Write-Error "setup: damaged: object $digest"; exit 1 }
    }
    Move-Item -LiteralPath $part -Destination $to
    $done++
}
Write-Output "setup: $done files are in $Folder"
if ($missing -gt 0) {
    Write-Error "setup: $missing files are not in this bundle: it is a delta, set up the earlier one into the same folder"
    exit 1
}
