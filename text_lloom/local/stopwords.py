"""Word lists: function words, words that carry little by themselves, and the scaffolding of criteria."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ABBREVIATIONS",
    "ADJECTIVAL_LY",
    "CONNECTORS",
    "DANGLING",
    "DETERMINERS",
    "FUNCTION_WORDS",
    "LEADING",
    "OBJECTS",
    "PREDICATIVE",
    "SCAFFOLD",
    "SUBJECTS",
    "WEAK_WORDS",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH: Final = _words(
    """
    a an the this that these those such i me my mine myself we us our ours ourselves you your yours yourself
    yourselves he him his himself she her hers herself it its itself they them their theirs themselves one
    ones oneself who whom whose which what whatever whichever whoever where when why how wherever whenever
    however and or but nor so yet if then else than because since although though unless until while whereas
    whether lest once of in on at by for with from to into onto upon about above below under over between
    among amongst amid against through throughout during before after behind beyond beside besides within
    without toward towards across along around near off out up down via per like unlike despite except plus
    minus versus vs as am is are was were be been being isn't aren't wasn't weren't ain't do does did doing
    done don't doesn't didn't have has had having haven't hasn't hadn't will would shall should can could may
    might must ought won't wouldn't shouldn't can't cannot couldn't mightn't mustn't needn't shan't i'm i've
    i'd i'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's it'd it'll we're we've we'd
    we'll they're they've they'd they'll that's that'd that'll there's there're here's what's who's where's
    how's when's why's let's y'all who'd who've dont doesnt didnt isnt arent wasnt werent wont wouldnt
    shouldnt cant couldnt havent hasnt hadnt im ive youre youve theyre theyve thats theres whats hes shes
    weve aint cuz coz bc tho thru not no none never neither nobody nothing nowhere yes yeah yep nope ok okay
    oh ah hey hi hello hmm um uh lol lmao lmfao rofl omg wtf haha hahaha smh tbh imo imho btw fyi idk ur ya
    yo rt dm pls plz thx u r n b all any both each either every everybody everyone everything everywhere few
    less least little lot lots many more most much other others another some somebody someone something
    somewhere somehow sometimes several enough own same anybody anyone anything anywhere anyway half again
    ago ahead already also altogether always away back even ever far further furthermore hence here hereby
    herein indeed instead just later maybe meanwhile merely moreover mostly namely nearly nevertheless
    nonetheless now often only otherwise overall perhaps please quite rather really right seldom simply still
    surely there thereby therefore therein thus together too twice usually very well almost soon thanks thank
    etc eg ie e.g i.e et al cf respectively especially particularly specifically generally typically
    currently recently actually basically literally probably possibly certainly definitely obviously clearly
    first second third two three four five six seven eight nine ten last next get gets getting got gotten
    gonna gotta wanna go goes going gone went come comes coming came make makes making made take takes taking
    took taken give gives giving gave given let lets put puts say says saying said see sees seeing seen saw
    know knows knowing knew known think thinks thinking thought want wants wanted wanting keep keeps kept
    seem seems seemed become becomes became becoming try tries trying tried use uses used using www http
    https com org net html htm nbsp amp quot lt gt utm href src img div span px
"""
)

FUNCTION_WORDS: Final[dict[str, frozenset[str]]] = {
    "en": _ENGLISH,
    "fr": _words(
        """
        le la les un une des du de d l au aux ce cet cette ces mon ma mes ton ta tes son sa ses notre nos
        votre vos leur leurs je j tu il elle on nous vous ils elles me m te t se s lui y en moi toi eux qui
        que qu quoi dont où quand comme comment pourquoi et ou mais donc or ni car si ne n pas plus moins
        très bien aussi encore toujours jamais rien tout tous toute toutes même autre autres être est sont
        était étaient été suis sommes sera avoir ai as a avons avez ont avait fait faire peut dans sur sous
        avec sans pour par chez entre vers contre depuis pendant avant après c'est n'est qu'il qu'on d'un
        d'une j'ai y'a alors ainsi cela ça
    """
    ),
    "de": _words(
        """
        der die das den dem des ein eine einen einem einer eines kein keine keinen ich du er sie es wir ihr
        mich mir dich dir ihn ihm uns euch ihnen mein meine meinen dein sein seine seiner ihre ihrer unser
        unsere dieser diese dieses diesem diesen jener welche welcher wer was wo wann warum wie und oder aber
        denn doch sondern wenn weil dass daß ob als nicht nichts nie auch noch schon nur sehr mehr viel hier
        da dort dann jetzt immer wieder so zu zum zur von vom mit ohne für gegen durch um an am auf in im ins
        aus bei beim bis nach seit über unter vor hinter neben zwischen ist sind war waren bin bist wird
        werden wurde wurden worden hat haben hatte hatten kann können muss müssen soll sollen will wollen
        würde man sich mal ganz etwas alle alles
    """
    ),
    "es": _words(
        """
        el la los las un una unos unas lo al del de a ante con contra desde durante en entre hacia hasta para
        por según sin sobre tras y e o u pero sino ni que si porque cuando como donde quien quienes cual
        cuales cuyo yo tú él ella nosotros ellos ellas me te se nos os le les mi mis tu tus su sus nuestro
        nuestra este esta estos estas ese esa eso esos aquel esto no sí muy más menos mucho muchos poco
        también ya siempre nunca todo todos toda todas otro otra otros es son era eran fue fueron ser estar
        está están estaba ha han había hay haber he tiene tienen tengo hacer hace puede así aún qué cómo
    """
    ),
    "it": _words(
        """
        il lo la i gli le un uno una di del dello della dei degli delle a al allo alla ai agli alle da dal
        dalla in nel nella nei nelle su sul sulla con per tra fra e ed o ma se che chi cui non più meno molto
        anche ancora già sempre mai io tu lui lei noi voi loro mi ti si ci vi ne mio mia tuo suo sua nostro
        questo questa questi queste quello quella come quando dove perché è sono era erano essere stato stata
        ho hai ha hanno aveva avere fare fa può tutto tutti tutta tutte così cosa
    """
    ),
    "pt": _words(
        """
        o a os as um uma uns umas de do da dos das em no na nos nas por pelo pela para com sem sobre entre
        até e ou mas se que quem qual quando como onde porque não sim mais menos muito muitos também já ainda
        sempre nunca eu tu ele ela nós vocês você eles elas me te lhe meu minha seu sua nosso nossa este esta
        isso isto esse essa aquele é são era eram foi foram ser estar está estão tem têm tinha ter há fazer
        faz pode todo todos tudo
    """
    ),
    "nl": _words(
        """
        de het een en of maar want dus als dat die dit deze wie wat waar wanneer waarom hoe ik jij je hij zij
        ze wij we jullie mij me hem haar ons hun mijn jouw zijn onze van in op aan met voor door bij uit naar
        over onder tussen tegen zonder om te tot is was waren ben bent wordt worden werd heeft hebben had kan
        kunnen moet moeten zal zou wil niet geen ook nog al wel meer veel zo dan toen nu hier daar er altijd
        nooit alle alles
    """
    ),
    "ru": _words(
        """
        и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее её мне было
        вот от меня еще ещё нет о из ему когда даже ну ли если уже или ни быть был была были него до вас
        нибудь опять вам ведь там потом себя ничего ей может они тут где есть надо ней для мы тебя их чем сам
        чтоб без будто чего раз тоже себе под будет тогда кто этот того потому этого какой ним здесь этом
        один почти мой тем чтобы нее это эта эти очень при об
    """
    ),
}
"""Function words by language, lower-case."""

WEAK_WORDS: Final = _words(
    """
    able accept according account achieve act actual add aim allow appear apply approach area aspect attempt
    available bad base basic begin believe best better big bit bring broad broader call case cause certain
    chance change check choose claim close common complete concern consider contain continue contribute
    contribution correct could course create current day days deal demonstrate depend describe
    detail develop different difficult direct directly discuss due dear early easily easy effect effective
    either enable end ensure entire etc evaluate event evidence exact exactly example exist expect explain
    explore extend extent fact fail feature feel felt field figure final find fine focus follow form found
    full fully future general getting good great greater group guess guy guys hand happen hard heard help
    hence high higher highly hold hope hour huge idea identify imagine impact implement important improve
    include increase indeed introduce investigate involve issue issues item keep kind large larger latter
    lead learned leave left let level like likely limit limited line list live local long longer look lose
    low lower main mainly major manner matter mean means mention method minute moment month months move
    multiple name nature near necessary need needs new nice non notice novel number obtain obvious offer old
    open option order original paper part particular past people percent perform person place plan plenty
    point poor possible potential present pretty prevent previous problem problems proper propose proposed
    provide purpose question quick quickly range reach read real reason recent reduce regard related relevant
    remain report represent require research respect rest result results role run sense set several
    short show shown side significant similar simple single small solution special specific
    standard start state statement stay step stop strong stuff study stupid suggest support sure
    talk task technique techniques tell term test text thing things time times today together told tomorrow
    tonight top total true turn type typical understand unique useful usual value various version view wait
    way ways week weeks whole wide wish wonder word words work works world worse worst wrong year years
    yesterday young ask asked answer love hate happy glad sad sorry proud honor honored join joined joining
    welcome morning afternoon evening ever monday tuesday wednesday thursday friday saturday
    sunday january february march april june july august september october november december fuck fucked
    fucking fucks shit shitty bullshit ass asshole bitch bitches bitching dick dicks cock pussy cunt cunts
    twat twats whore whores slut sluts crap dumb retard retarded nig nigs faggot fag af huh muh wtf suck
    sucks damn hell dude bro mr mrs ms dr sir ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand
    million billion trillion dozen half quarter metre meter foot feet inch mile kilometre centimetre pound
    quid dollar euro penny pence jr saint hear count counted looked looking sit sat sitting stand stood
    outside inside empty round fill turned neighbour neighbor self lack mine whose ready goes ago ease title
    publication permission copying premier forum abstract introduction section author authors department
    university proceedings acm doi copyright keyword keywords
"""
)
"""Words that may stand inside a phrase but say little by themselves; lower-case surface forms."""

CONNECTORS: Final = _words(
    """
    of in for to on with at from by and up out off the a per without against between
    """
)
"""Function words that a phrase of a name may have inside."""

DETERMINERS: Final = _words(
    """
    a an the this that these those my your his her its our their no any some every each of in for with
    from by
    """
)
"""Words after which nouns and adjectives are found, rarely verbs."""

OBJECTS: Final = _words(
    """
    a an the my your his its our their this that these those me him them us it you myself yourself
    themselves himself herself itself ourselves
    """
)
"""Words that follow verbs, rarely nouns."""

PREDICATIVE: Final = _words(
    """
    is are was were am be been being i'm you're he's she's they're we're it's isn't aren't wasn't weren't
    so very too more most less really quite as how always never even just get gets got feel feels seem
    seems become
    """
)
"""Words after which adjectives and participles are found without a noun."""

SUBJECTS: Final = _words(
    """
    i you we they he she it who to will would can could should may might must shall not don't doesn't
    didn't can't won't please let's cannot i'll we'll never dont cant wont
    """
)
"""Words after which verbs are found."""

LEADING: Final = _words(
    """
    and or but so of in on at by for with from to into than that which who whom whose as if then because
    since the a an is are was were be been being am has have had do does did will would can could may
    might must should about over such also both either however thus therefore while when where this these
    those it its their his her my your our there here just very too well what how why please hi hello
    """
)
"""Words that a bullet does not start with, unless nothing better is there."""

DANGLING: Final = LEADING | _words(
    """
    not no i we they he you she very more most some any all every each other another much many own only
    i'm it's we're they're you're until through under without between during before after via per like
    """
)
"""Words that a bullet does not end with."""

SCAFFOLD: Final = _words(
    """
    text texts document documents post posts comment comments passage passages excerpt snippet article
    response discuss discusses discussed discussing discussion mention mentions mentioned mentioning describe
    describes describing express expresses expressing refer refers referring reference references relate
    relates related relating talk talks speak speaks contain contains include includes including address
    addresses focus focuses deal deals concern concerns involve involves example examples such term terms
    word words topic topics theme themes concept particular similar regarding author writer speaker whether
    say says states complain complains report reports argue argues claim claims suggest suggests ask asks
    specifically matters e.g i.e
"""
)
"""Words that frame a criterion without being part of what it asks for."""

ADJECTIVAL_LY: Final = _words(
    """
    family early daily weekly monthly yearly supply reply apply fly ally bully rely elderly friendly
    assembly anomaly italy july belly jelly rally tally holy lonely ugly silly deadly costly lively likely
    orderly quarterly timely unlikely homely multiply comply imply wily hourly nightly folly lily bodily
    melancholy monopoly butterfly
    """
)
"""Words in -ly that are no adverbs."""

ABBREVIATIONS: Final = _words(
    """
    mr mrs ms dr prof sr jr st rev hon gov sen rep gen col capt lt sgt vs etc eg ie e.g i.e cf al fig figs
    eq eqs sec ch vol no nos pp ed eds approx ca dept univ inc ltd co corp est min max avg jan feb mar apr
    jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun a.m p.m u.s u.k u.n ph.d b.a m.a z.b bzw
    usw resp sra
    """
)
"""Words before a full stop that does not end a sentence; lower-case, without that full stop."""
