"""The page and its API: people, places and expressions by hand, in a browser (docs/APP.md).

limits     what a visitor may ask for
photos     a picture file's bytes -> a photo with its verdict and face crop
wishes     a request's JSON -> a checked wish
visits     what a visit holds: photos and pictures, in memory only
studio     wishes -> pictures, by the one pipeline
jobs       a bounded queue and the one thread that draws
recipes    a picture's recipe as a command line and as Python
security   who may ask, and how much they may send
server     the routes; page and API are the same ones
static/    the page: HTML, CSS, JavaScript, labels in English and Japanese
"""
